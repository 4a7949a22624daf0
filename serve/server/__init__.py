"""The OpenAI-compatible HTTP front, before the engine or before another server."""
