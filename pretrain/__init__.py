"""Tokens in, checkpoint out, on Megatron-core."""
