"""Filling rows of a batch with pieces, and packing held-out pieces into rows: the loader's compiled loops.

All of it stands in this one file, because numba's cache notices a change in a function's own file only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compile a function on its first call; it releases the GIL and is cached on disk."""
    made: Kernel = njit(nogil=True, cache=True, error_model="numpy")(function)
    return made


@compiled
def copy_piece(
    source: np.ndarray,
    begin: int,
    length: int,
    at: int,
    tokens: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    positions: np.ndarray,
) -> np.uint64:
    """Write source[begin : begin + length] to a row's cells from `at`; return its largest token, as unsigned.

    The row's arrays are those of a Batch, (s,) each. The last token of the piece has no label.
    """
    largest = np.uint64(0)
    for k in range(length):
        token = np.int64(source[begin + k])
        tokens[at + k] = token
        largest = max(largest, np.uint64(token))
    for k in range(length - 1):
        labels[at + k] = np.int64(source[begin + k + 1])
    weights[at : at + length] = np.float32(1)
    if length:
        labels[at + length - 1] = 0
        weights[at + length - 1] = np.float32(0)
    for k in range(length):
        positions[at + k] = k
    return largest


@compiled
def pad(at: int, tokens: np.ndarray, labels: np.ndarray, weights: np.ndarray, positions: np.ndarray) -> None:
    """Fill a row's cells from `at` to its end as padding: one document of zeros that counts nowhere."""
    for k in range(at, len(tokens)):
        tokens[k] = 0
        labels[k] = 0
        weights[k] = np.float32(0)
        positions[k] = k - at


@compiled
def fill_row(
    source: np.ndarray,
    lengths: np.ndarray,
    pointers: np.ndarray,
    held: np.ndarray,
    first: int,
    last: int,
    skip: int,
    tokens: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    positions: np.ndarray,
    bounds: np.ndarray,
    used: int,
    base: int,
) -> tuple[int, np.uint64]:
    """Fill a row with the pieces first .. last - 1 that are not held out, closed up, from the skip-th token on.

    Ends of documents are written to `bounds` (int32) from place `used`, counted from `base`. Returns how much of
    `bounds` is used now, and the largest token, as unsigned.
    """
    at, largest = 0, np.uint64(0)
    size = len(tokens)
    for piece in range(first, last):
        length = int(lengths[piece])
        if held[piece] or length == 0:
            continue
        if skip >= length:
            skip -= length
            continue
        begin = pointers[piece] // source.itemsize + skip
        take = size - at
        if length - skip < take:
            take = length - skip
        skip = 0
        largest = max(largest, copy_piece(source, begin, take, at, tokens, labels, weights, positions))
        at += take
        bounds[used] = base + at
        used += 1
        if at == size:
            return used, largest
    pad(at, tokens, labels, weights, positions)
    bounds[used] = base + size
    return used + 1, largest


@compiled
def best_fit(lengths: np.ndarray, capacity: int) -> np.ndarray:
    """Return the row (int64) of each piece; pieces come longest first, none over `capacity`.

    A piece goes to the fullest row that has room for it, the newest of equally full ones (Ding et al. 2024,
    section 3). O(pieces x capacity) at worst; in practice the first room looked at is nearly always open.
    """
    rows = np.empty(len(lengths), np.int64)
    newest = np.full(capacity + 1, -1, np.int64)  # a stack of rows for each room that is left in them
    below = np.full(len(lengths) + 1, -1, np.int64)
    count = 0
    for piece in range(len(lengths)):
        length = np.int64(lengths[piece])
        room = length
        while room <= capacity and newest[room] < 0:
            room += 1
        if room > capacity:
            row, room = count, np.int64(capacity)
            count += 1
        else:
            row = newest[room]
            newest[room] = below[row]
        rows[piece] = row
        left = room - length
        below[row] = newest[left]
        newest[left] = row
    return rows
