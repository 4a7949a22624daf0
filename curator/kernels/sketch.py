"""Sketch sets of shingles by Fast Similarity Sketching (Dahlgaard, Knudsen, Thorup, FOCS 2017).

The share of equal values of two sketches estimates the Jaccard similarity of the sets without bias,
with a deviation never above MinHash's, in about one hash a shingle instead of one a shingle and value.

The specification, which a version for another device must meet to the bit, all in 32-bit arithmetic:

* e is the high half of a shingle's hash. Round r hashes it to y = mix32(e ^ salt), where
  salt = mix32(mix32(seed) + r * 0x9E3779B9); with z = y * 0x9E3779B1 its value is v = z ^ (z >> 15).
* In the rounds 0 .. size - 1 it falls into the bin (y * size) >> 32 (the product has 64 bits); in the
  round size + b into bin b.
* A bin keeps the smallest value of the first round that reaches it; rounds end once no bin is empty.
"""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import compiled, mix32
from curator.kernels.shingles import frozen, hash_shingles, longest_document, scratch
from curator.kernels.words import folded

VACANT = np.uint64(0xFFFFFFFFFFFFFFFF)
RUN = 1024  # shingles hashed in one go: bins and values stay in the first-level cache


def sketch(offsets: np.ndarray, data: np.ndarray, size: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (sketches uint32 (rows, size), empty bool (rows)) of documents' word shingles.

    offsets: int64 (rows + 1) into data, UTF-8 bytes; 0 <= seed < 2**32. A document without words is
    empty and its sketch all zero. Memory beside the result: 5.5 bytes a byte of the longest document.
    """
    offsets, data = frozen(offsets), frozen(data)
    text, hashes = scratch(longest_document(offsets))
    return _sketch(offsets, data, folded(), size, width, np.uint32(seed), text, hashes)


@compiled
def _sketch(
    offsets: np.ndarray,
    data: np.ndarray,
    fold: np.ndarray,
    size: int,
    width: int,
    seed: np.uint32,
    text: np.ndarray,
    hashes: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    rows = offsets.size - 1
    sketches = np.zeros((rows, size), np.uint32)
    empty = np.zeros(rows, np.bool_)
    best = np.empty(size, np.uint64)
    for row in range(rows):
        count = hash_shingles(data[offsets[row] : offsets[row + 1]], fold, width, text, hashes)
        empty[row] = count == 0
        if count:
            sketch_set(hashes[:count], seed, best)
            for b in range(size):
                sketches[row, b] = np.uint32(best[b])
    return sketches, empty


@compiled
def sketch_set(hashes: np.ndarray, seed: np.uint32, best: np.ndarray) -> None:
    """Sketch one set of uint64 hashes to `best`: round << 32 | value of each bin, so that the first
    round wins by being the smaller number. Repeated hashes change nothing."""
    size = best.size
    best[:] = VACANT
    vacant = size
    turn = 0
    while vacant and turn < size:
        vacant = throw(hashes, turn, seed, best)
        turn += 1
    if vacant:
        for b in range(size):
            if best[b] == VACANT:
                best[b] = smallest(hashes, size + b, seed)


@compiled
def throw(hashes: np.ndarray, turn: int, seed: np.uint32, best: np.ndarray) -> int:
    """Let each hash fall into a bin, in one round; return how many bins are vacant still."""
    salt = salt_of(turn, seed)
    size = np.uint64(best.size)
    order = np.uint64(turn) << np.uint64(32)
    bins, values = np.empty(RUN, np.uint32), np.empty(RUN, np.uint32)
    for first in range(0, hashes.size, RUN):
        part = hashes[first : first + RUN]
        for i in range(part.size):
            y = mix32(np.uint32(np.uint32(part[i] >> np.uint64(32)) ^ salt))
            bins[i] = np.uint32((np.uint64(y) * size) >> np.uint64(32))
            values[i] = value_of(y)
        for i in range(part.size):  # apart from the loop above, which runs in vectors
            place = np.uintp(bins[i])
            best[place] = min(best[place], order | np.uint64(values[i]))
    vacant = 0
    for b in range(best.size):
        vacant += best[b] == VACANT
    return vacant


@compiled
def smallest(hashes: np.ndarray, turn: int, seed: np.uint32) -> np.uint64:
    """Return round << 32 | the smallest value of any hash in a round of one bin."""
    salt = salt_of(turn, seed)
    least = np.uint32(0xFFFFFFFF)
    for i in range(hashes.size):
        least = min(least, value_of(mix32(np.uint32(np.uint32(hashes[i] >> np.uint64(32)) ^ salt))))
    return np.uint64(turn) << np.uint64(32) | np.uint64(least)


@compiled
def salt_of(turn: int, seed: np.uint32) -> np.uint32:
    """Return what tells a round's hash function from the others."""
    return mix32(np.uint32(mix32(seed) + np.uint32(np.uint32(turn) * np.uint32(0x9E3779B9))))


@compiled
def value_of(y: np.uint32) -> np.uint32:
    """Return a shingle's value in a round, one to one from its hash there."""
    z = np.uint32(y * np.uint32(0x9E3779B1))
    return np.uint32(z ^ np.uint32(z >> np.uint32(15)))
