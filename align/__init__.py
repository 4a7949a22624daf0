"""Checkpoint and preferences in, better checkpoint out. Empty for now."""
