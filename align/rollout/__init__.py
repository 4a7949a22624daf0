"""Prompts in, completions with their log-probabilities out."""
