"""`millrace export`, `millrace evaluate` and `millrace serve`: what the curator has reaches serve here."""
