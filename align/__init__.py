"""Checkpoint and preferences or tasks in, better checkpoint out."""
