"""Bytes that went from the GPU to CPU kernels and back, counted in each worker."""

import threading

_moved = threading.local()


def add(count: int) -> None:
    """Count bytes moved by this thread."""
    _moved.bytes = bytes_moved() + count


def bytes_moved() -> int:
    """Return the bytes moved by this thread so far."""
    return getattr(_moved, "bytes", 0)
