"""A run: its folder, its ranks, the loop, and what keeps it alive."""
