"""Sketch texts as cudf 26.10 does, to the bit: str.minhash, minhash64, minhash_ngrams, minhash64_ngrams.

For comparison with pipelines on cudf (NeMo Curator 0.9) and for those who hold such signatures. The
permutations differ only by `a` and `b`, made as NeMo Curator 0.9 makes them (`parameters`), so its own
signatures are met at the same seed. What cudf computes, found in its source and its tests' numbers:

* Characters: every window of `width` code points of the raw text, nothing normalised. A text of no more
  is one window.
* Words: every window of width + 1 (sic) terms, joined without a separator; of no more terms, one window.
  The terms here are the words of curator.kernels.words; cudf takes a list of any.
* A window's hash h is MurmurHash3 of its UTF-8 bytes with one seed, x86_32 or the first half of x64_128;
  0 becomes 1.
* Value i of a sketch is the smallest (a[i] * h + b[i]) mod 2**32, or in 64 bits the smallest
  ((a[i] * h + b[i]) mod 2**64) mod 2**61 - 1: the product wraps before the prime is applied, and in 32 bits
  the prime never is. Without any window all values are 0.
"""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.minhash import SWEEP, minima, padded
from curator.kernels.murmur import PADDING, finish32, murmur32, murmur64, scramble32, step32
from curator.kernels.shingles import frozen, longest_document
from curator.kernels.words import SPACE, folded, normalise, scratch_bytes

PRIME = np.uint64((1 << 61) - 1)
RUN = 512  # windows hashed in one go: their state stays in the first-level cache
Parameters = tuple[np.ndarray, np.ndarray, np.unsignedinteger]


def parameters(size: int, seed: int, bits: int) -> Parameters:
    """Return (a, b, seed of MurmurHash3) as NeMo Curator 0.9 draws them: uint32 or uint64, by `bits`.

    a[i] from 1 up and b[i] from 0 up, below 2**31 - 1 or 2**61 - 1, in turn from numpy's RandomState(seed),
    whose streams are frozen; the hash is seeded with a[0].
    """
    kind, limit = (np.uint32, 2**31 - 1) if bits == 32 else (np.uint64, 2**61 - 1)
    draw = np.random.RandomState(seed).randint
    a, b = np.array([[draw(low, limit, dtype=kind) for low in (1, 0)] for _ in range(size)], kind).T.copy()
    return a, b, a[0]


def sketch(
    offsets: np.ndarray, data: np.ndarray, characters: bool, width: int, made: Parameters
) -> tuple[np.ndarray, np.ndarray]:
    """Return (sketches (rows, size) of the type of the parameters, empty bool (rows)).

    offsets: int64 (rows + 1) into data, UTF-8 bytes; made: see `parameters`; width: at least 2, as in cudf.
    Documents are below 4 GiB. A document without windows is empty and its sketch all zero. Memory beside
    the result: up to 14 bytes a byte of the longest document.
    """
    a, b, seed = made
    offsets, data = frozen(offsets), frozen(data)
    longest = longest_document(offsets)
    text = np.empty(scratch_bytes(longest) + PADDING, np.uint8)
    starts = np.empty(longest + 1, np.uint32)
    hashes = np.empty(longest + SWEEP, a.dtype)
    best = np.empty(padded(a).size, a.dtype)
    given = offsets, data, folded(), characters, width, a.size, padded(a), padded(b), seed, text, starts, hashes, best
    return _sketch32(*given) if a.dtype == np.uint32 else _sketch64(*given)


@compiled
def _sketch32(
    offsets: np.ndarray,
    data: np.ndarray,
    fold: np.ndarray,
    characters: bool,
    width: int,
    size: int,
    a: np.ndarray,
    b: np.ndarray,
    seed: np.uint32,
    text: np.ndarray,
    starts: np.ndarray,
    hashes: np.ndarray,
    best: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    rows = offsets.size - 1
    sketches, empty = np.zeros((rows, size), np.uint32), np.zeros(rows, np.bool_)
    for row in range(rows):
        units, span = cut(data[offsets[row] : offsets[row + 1]], fold, characters, width, text, starts)
        empty[row] = units == 0
        if units:
            minima(hashes, hash_windows32(text, starts, units, span, seed, hashes), a, b, best)
            sketches[row] = best[:size]
    return sketches, empty


@compiled
def _sketch64(
    offsets: np.ndarray,
    data: np.ndarray,
    fold: np.ndarray,
    characters: bool,
    width: int,
    size: int,
    a: np.ndarray,
    b: np.ndarray,
    seed: np.uint64,
    text: np.ndarray,
    starts: np.ndarray,
    hashes: np.ndarray,
    best: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    rows = offsets.size - 1
    sketches, empty = np.zeros((rows, size), np.uint64), np.zeros(rows, np.bool_)
    for row in range(rows):
        units, span = cut(data[offsets[row] : offsets[row + 1]], fold, characters, width, text, starts)
        empty[row] = units == 0
        if units:
            minima64(hashes, hash_windows64(text, starts, units, span, seed, hashes), a, b, best)
            sketches[row] = best[:size]
    return sketches, empty


@compiled
def cut(
    document: np.ndarray, fold: np.ndarray, characters: bool, width: int, text: np.ndarray, starts: np.ndarray
) -> tuple[int, int]:
    """Write a document's characters or words to `text` without gaps, and where each starts to `starts`.

    Return (how many there are, how many make a window). One more start marks the end.
    """
    if characters:
        text[: document.size] = document
        return mark_characters(document, starts), width
    return close_gaps(text, normalise(document, fold, text), starts), width + 1


@compiled
def mark_characters(document: np.ndarray, starts: np.ndarray) -> int:
    """Write where each code point of UTF-8 bytes starts, and their end; return how many there are."""
    count = 0
    for i in range(document.size):
        starts[count] = i
        count += int(document[i] & np.uint8(0xC0) != np.uint8(0x80))
    starts[count] = document.size
    return count


@compiled
def close_gaps(text: np.ndarray, length: int, starts: np.ndarray) -> int:
    """Move the words of normalised text[:length] together in place, write where each starts, and their end."""
    count = written = 0
    inside = False
    for i in range(length):
        letter = text[i] != SPACE
        if letter and not inside:
            starts[count] = written
            count += 1
        inside = letter
        text[written] = text[i]
        written += int(letter)
    starts[count] = written
    return count


@compiled
def hash_windows32(
    text: np.ndarray, starts: np.ndarray, units: int, span: int, seed: np.uint32, hashes: np.ndarray
) -> int:
    """Hash every window of `span` units, or one of fewer, to uint32 `hashes`; return how many there are."""
    span = min(span, units)
    count = units - span + 1
    i = 0
    while i < count:
        first = i
        while i < count and int(starts[i + span]) - int(starts[i]) == span:  # a byte each
            i += 1
        start = int(starts[first])
        if i > first:
            hash_bytes32(text[start:], i - first, span, seed, hashes[first:])
        else:
            hashes[i] = max(murmur32(text, start, int(starts[i + span]) - start, seed), np.uint32(1))
            i += 1
    return count


@compiled
def hash_bytes32(text: np.ndarray, count: int, width: int, seed: np.uint32, hashes: np.ndarray) -> None:
    """Hash `count` windows of `width` bytes, many at once: 4 bytes are scrambled once for all windows."""
    scrambled, tails = np.empty(RUN + width, np.uint32), np.empty(RUN, np.uint32)
    states = np.empty(RUN, np.uint32)
    rest = width & 3
    mask = np.uint32((1 << 8 * rest) - 1)
    for first in range(0, count, RUN):
        size = min(RUN, count - first)
        words_at(text[first:], size + width - 4, np.uint32(0xFFFFFFFF), scrambled)
        words_at(text[first + width - rest :], size, mask, tails)
        states[:size] = seed
        for at in range(0, width - 3, 4):
            words = scrambled[at : at + size]
            for i in range(size):
                states[i] = step32(states[i], words[i])
        out = hashes[first : first + size]
        for i in range(size):
            out[i] = max(finish32(states[i], tails[i], width), np.uint32(1))


@compiled
def words_at(text: np.ndarray, count: int, mask: np.uint32, out: np.ndarray) -> None:
    """Write the 4 bytes from each of `count` positions, little-endian, masked and scrambled."""
    if count <= 0:
        return
    b0, b1, b2, b3 = text[:count], text[1 : count + 1], text[2 : count + 2], text[3 : count + 3]
    for i in range(count):
        low = np.uint32(np.uint32(b0[i]) | np.uint32(np.uint32(b1[i]) << np.uint32(8)))
        high = np.uint32(np.uint32(b2[i]) | np.uint32(np.uint32(b3[i]) << np.uint32(8)))
        out[i] = scramble32(np.uint32(np.uint32(low | np.uint32(high << np.uint32(16))) & mask))


@compiled
def hash_windows64(
    text: np.ndarray, starts: np.ndarray, units: int, span: int, seed: np.uint64, hashes: np.ndarray
) -> int:
    """Hash every window of `span` units, or one of fewer, to uint64 `hashes`; return how many there are."""
    span = min(span, units)
    count = units - span + 1
    for i in range(count):
        start = int(starts[i])
        hashes[i] = max(murmur64(text, start, int(starts[i + span]) - start, seed), np.uint64(1))
    return count


@compiled
def minima64(hashes: np.ndarray, count: int, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write the smallest ((a[i] * h + b[i]) mod 2**64) mod 2**61 - 1 of hashes[:count] to out[i]."""
    out[:] = PRIME
    for i in range(count):
        h = hashes[i]
        for k in range(out.size):
            x = np.uint64(a[k] * h + b[k])
            x = np.uint64((x & PRIME) + (x >> np.uint64(61)))  # PRIME + 7 at most
            x = np.uint64(x + ((x + np.uint64(1)) >> np.uint64(61))) & PRIME
            out[k] = np.uint64(min(np.int64(out[k]), np.int64(x)))  # signed, which older vector units can
