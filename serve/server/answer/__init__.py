"""Completions as they grow, and OpenAI's JSON of them."""
