"""Shingles: what two documents are compared by.

A shingle is `width` consecutive words (normalised and hashed as curator.kernels.words says). Its hash:
Horner's rule over the word hashes w, h = h * SHINGLE_FACTOR + w from h = 0, modulo 2**64, then mix64.
A document of fewer words, but at least one, is one shingle of all of them.
"""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import compiled, mix64
from curator.kernels.words import folded, hash_words, normalise, scratch_bytes

SHINGLE_FACTOR = np.uint64(0xD6E8FEB86659FD93)
NONE = np.uint64(0xFFFFFFFFFFFFFFFF)
COMMON_BYTES = 6  # of a word and what follows it: the first guess at a result's size, which then doubles
RUN = 512  # shingles hashed in one go: their sums stay in the first-level cache


def sets(offsets: np.ndarray, data: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each document's sorted distinct shingle hashes: (starts int64 (rows + 1), flat uint64).

    offsets: int64 (rows + 1) into data, UTF-8 bytes. A document without words has an empty set.
    Memory: the result, up to three times while it grows, and 17.5 bytes a byte of the longest document
    at worst (every word one letter), 7 in common text.
    """
    return sets_of(offsets[:-1], offsets[1:], data, width)


def sets_of(begins: np.ndarray, ends: np.ndarray, data: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Do so for the documents data[begins[i] : ends[i]], wherever they lie: some rows need no copy of their text.

    begins, ends: int64 (documents).
    """
    begins, ends, data = frozen(begins), frozen(ends), frozen(data)
    sizes = ends - begins
    text, words = scratch(int(sizes.max(initial=0)))
    table = np.empty(3 * words.size, np.uint64)
    flat = np.empty(int(sizes.sum()) // COMMON_BYTES + 1024, np.uint64)  # by numpy, which asks for large pages
    return _sets(begins, ends, data, folded(), width, text, words, table, flat)


def scratch(longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return room for a document of `longest` bytes: (normalised text, one hash a word)."""
    return np.empty(scratch_bytes(longest), np.uint8), np.empty(longest // 2 + 1, np.uint64)


def longest_document(offsets: np.ndarray) -> int:
    """Return the bytes of the longest document, 0 where there is none."""
    return int(np.diff(offsets).max(initial=0))


def frozen(array: np.ndarray) -> np.ndarray:
    """Return a read-only view, so that one compiled version serves every caller's buffers."""
    view = array.view()
    view.flags.writeable = False
    return view


@compiled
def hash_shingles(document: np.ndarray, fold: np.ndarray, width: int, text: np.ndarray, hashes: np.ndarray) -> int:
    """Hash the shingles of a document's UTF-8 bytes to `hashes`, in order; return how many there are."""
    words = hash_words(text, normalise(document, fold, text), hashes)
    if words == 0:
        return 0
    width = min(width, words)
    count = words - width + 1
    combine(hashes, count, width)
    return count


@compiled
def combine(hashes: np.ndarray, count: int, width: int) -> None:
    """Turn word hashes into shingle hashes in place: shingle i reads only words from i up."""
    weight = np.uint64(1)  # of a word that leaves the window
    for _ in range(width):
        weight = np.uint64(weight * SHINGLE_FACTOR)
    sums = np.empty(RUN, np.uint64)
    for first in range(0, count, RUN):
        part = hashes[first : first + min(RUN, count - first)]
        roll(hashes[first:], width, weight, sums[: part.size])
        for i in range(part.size):  # apart from the loop in `roll`: this one runs in vectors
            part[i] = mix64(sums[i])


@compiled
def roll(words: np.ndarray, width: int, weight: np.uint64, sums: np.ndarray) -> None:
    """Write Horner's sum of each window of `width` words, each from the one before it.

    One multiplication waits for the other, so the two halves advance side by side.
    """
    half = sums.size // 2
    left = horner(words[:width])
    right = horner(words[half : half + width])
    behind, left_ahead, right_ahead, right_sums = words[half:], words[width:], words[half + width :], sums[half:]
    sums[0] = left
    right_sums[0] = right
    for i in range(1, right_sums.size):
        right = np.uint64(right * SHINGLE_FACTOR + (right_ahead[i - 1] - behind[i - 1] * weight))
        right_sums[i] = right
        if i < half:
            left = np.uint64(left * SHINGLE_FACTOR + (left_ahead[i - 1] - words[i - 1] * weight))
            sums[i] = left


@compiled
def horner(words: np.ndarray) -> np.uint64:
    """Return one window's sum by Horner's rule."""
    total = np.uint64(0)
    for word in words:
        total = np.uint64(total * SHINGLE_FACTOR + word)
    return total


@compiled
def _sets(
    begins: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    fold: np.ndarray,
    width: int,
    text: np.ndarray,
    hashes: np.ndarray,
    table: np.ndarray,
    flat: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    starts = np.zeros(begins.size + 1, np.int64)
    used = 0
    for row in range(begins.size):
        count = hash_shingles(data[begins[row] : ends[row]], fold, width, text, hashes)
        if used + count > flat.size:
            flat = np.concatenate((flat[:used], np.empty(used + count, np.uint64)))
        used += sort_distinct(hashes[:count], table, flat[used:])
        starts[row + 1] = used
    return starts, flat[:used]


@compiled
def sort_distinct(hashes: np.ndarray, table: np.ndarray, out: np.ndarray) -> int:
    """Write the distinct hashes to `out` in ascending order; return how many there are.

    A hash table with linear probing whose slots ascend with the hash and whose runs are kept sorted:
    as hashes are spread evenly, one insertion costs constant time, and reading the table out is the
    sort. `table` holds 3 slots a hash: 2 to hash to, and 1 that no run can overflow.
    """
    slots = np.uint64(2 * hashes.size)
    table[: 3 * hashes.size] = NONE
    distinct = 0
    largest = False  # NONE itself among the hashes
    for i in range(hashes.size):
        distinct += insert(table, slots, hashes[i])
        largest |= hashes[i] == NONE
    slot = written = 0
    while written < distinct:
        out[written] = table[slot]
        written += table[slot] != NONE
        slot += 1
    if largest:
        out[written] = NONE
        written += 1
    return written


@compiled
def insert(table: np.ndarray, slots: np.uint64, value: np.uint64) -> int:
    """Insert a value into the sorted table; return 1 if it was absent. NONE counts as present."""
    slot = np.int64(((value >> np.uint64(32)) * slots) >> np.uint64(32))
    while table[slot] < value:
        slot += 1
    if table[slot] == value:
        return 0
    while value != NONE:  # shift the rest of the run by one
        table[slot], value = value, table[slot]
        slot += 1
    return 1
