"""JSON of requests: read, checked, refused in one line."""
