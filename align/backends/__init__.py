"""Policies on Hugging Face models and on Megatron, behind one interface."""
