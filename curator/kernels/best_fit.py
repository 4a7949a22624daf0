"""Best-fit packing of pieces into rows, with a tree over the room that open rows have left."""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import compiled


@compiled
def best_fit(lengths: np.ndarray, capacity: int) -> np.ndarray:
    """Return each piece's row; pieces come longest first. The row chosen is the fullest with room, and
    the newest of equally full ones."""
    rows = np.empty(lengths.shape[0], np.int64)
    size = 1
    while size < capacity + 1:
        size *= 2
    open_rows = np.zeros(2 * size, np.int64)  # a tree: how many open rows have room in each range
    newest = np.full(capacity + 1, -1, np.int64)  # stack of open rows, by room
    below = np.full(lengths.shape[0] + 1, -1, np.int64)
    count = 0
    for piece in range(lengths.shape[0]):
        room = smallest_from(open_rows, size, lengths[piece])
        if room < 0:
            row = count
            count += 1
            room = capacity
        else:
            row = newest[room]
            newest[room] = below[row]
            add(open_rows, size, room, -1)
        rows[piece] = row
        left = room - lengths[piece]
        if left > 0:
            below[row] = newest[left]
            newest[left] = row
            add(open_rows, size, left, 1)
    return rows


@compiled
def add(tree: np.ndarray, size: int, leaf: int, change: int) -> None:
    """Add to a leaf's count and to all above it."""
    node = leaf + size
    while node > 0:
        tree[node] += change
        node //= 2


@compiled
def smallest_from(tree: np.ndarray, size: int, leaf: int) -> int:
    """Return the smallest leaf >= `leaf` with a count, or -1."""
    node = leaf + size
    if leaf >= size:
        return -1
    if tree[node] > 0:
        return leaf
    while node > 1:
        if node % 2 == 0 and tree[node + 1] > 0:
            node += 1
            while node < size:
                node = 2 * node if tree[2 * node] > 0 else 2 * node + 1
            return node - size
        node //= 2
    return -1
