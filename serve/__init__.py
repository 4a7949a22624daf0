"""Checkpoint in, exported engines and answers out. Empty for now."""
