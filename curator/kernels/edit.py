"""Texts without some of their spans, or with others in their place."""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.shingles import frozen


def replaced(
    offsets: np.ndarray,
    data: np.ndarray,
    first: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    fill: np.ndarray,
    fill_offsets: np.ndarray,
    fill_data: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (offsets int64 (texts + 1), bytes uint8) of texts with their spans replaced by fills.

    Text i is data[offsets[i]:offsets[i + 1]], its spans are first[i] to first[i + 1]: bytes from the text's
    begin, int64, ascending and apart. A span's fill is fill_data[fill_offsets[k]:fill_offsets[k + 1]], k = fill[span].
    O(bytes), about 2 GB/s a core.
    """
    grown = int(np.diff(fill_offsets)[fill].sum()) if len(fill) else 0
    out = np.empty(int(offsets[-1] - offsets[0]) + grown, np.uint8)
    spans = (first.astype(np.int64), starts.astype(np.int64), stops.astype(np.int64), fill.astype(np.int64))
    ends = _replaced(frozen(offsets), frozen(data), *spans, frozen(fill_offsets), frozen(fill_data), out)
    return ends, out[: ends[-1]]


@compiled
def _replaced(
    offsets: np.ndarray,
    data: np.ndarray,
    first: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    fill: np.ndarray,
    fill_offsets: np.ndarray,
    fill_data: np.ndarray,
    out: np.ndarray,
) -> np.ndarray:
    ends = np.zeros(offsets.size, np.int64)
    used = 0
    for row in range(offsets.size - 1):
        begin = at = offsets[row]
        for span in range(first[row], first[row + 1]):
            used = _copy(data, at, begin + starts[span], out, used)
            used = _copy(fill_data, fill_offsets[fill[span]], fill_offsets[fill[span] + 1], out, used)
            at = begin + stops[span]
        used = _copy(data, at, offsets[row + 1], out, used)
        ends[row + 1] = used
    return ends


@compiled
def _copy(source: np.ndarray, start: int, stop: int, out: np.ndarray, used: int) -> int:
    """Copy source[start:stop] to out[used:]; return where the next copy goes."""
    for i in range(stop - start):
        out[np.uintp(used + i)] = source[np.uintp(start + i)]
    return used + stop - start
