"""What an alignment run came to, on a page."""
