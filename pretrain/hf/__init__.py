"""Hugging Face folders: configuration and weights, both ways."""
