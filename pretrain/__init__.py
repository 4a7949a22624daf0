"""Tokens in, checkpoint out, on Megatron-core. Empty for now."""
