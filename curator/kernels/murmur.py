"""MurmurHash3 (Austin Appleby, public domain): x86_32, and the first half of x64_128.

Bytes lie in a buffer with PADDING bytes to spare, for both read 8 bytes at a time.
"""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import compiled, load64, mix32, mix64

PADDING = 8  # bytes past the end that may be read
C1, C2 = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)
D1, D2 = np.uint64(0x87C37B91114253D5), np.uint64(0x4CF5AD432745937F)


@compiled
def murmur32(data: np.ndarray, start: int, length: int, seed: np.uint32) -> np.uint32:
    """Return MurmurHash3_x86_32 of data[start : start + length]."""
    h = seed
    stop = start + length
    for i in range(start, stop - 3, 4):
        h = step32(h, scramble32(np.uint32(load64(data, i))))
    rest = length & 3
    word = load64(data, stop - rest) & ((np.uint64(1) << np.uint64(8 * rest)) - np.uint64(1))
    return finish32(h, scramble32(np.uint32(word)), length)


@compiled
def scramble32(word: np.uint32) -> np.uint32:
    """Scramble 4 bytes, little-endian, before they enter the hash."""
    k = np.uint32(word * C1)
    k = np.uint32(np.uint32(k << np.uint32(15)) | np.uint32(k >> np.uint32(17)))
    return np.uint32(k * C2)


@compiled
def step32(h: np.uint32, scrambled: np.uint32) -> np.uint32:
    """Take 4 scrambled bytes into the hash."""
    h = np.uint32(h ^ scrambled)
    h = np.uint32(np.uint32(h << np.uint32(13)) | np.uint32(h >> np.uint32(19)))
    return np.uint32(np.uint32(h * np.uint32(5)) + np.uint32(0xE6546B64))


@compiled
def finish32(h: np.uint32, scrambled_rest: np.uint32, length: int) -> np.uint32:
    """Take in the last 0 to 3 bytes, scrambled with zeros above them, and the length, and mix."""
    return mix32(np.uint32(np.uint32(h ^ scrambled_rest) ^ np.uint32(length)))


@compiled
def murmur64(data: np.ndarray, start: int, length: int, seed: np.uint64) -> np.uint64:
    """Return the first 64 bits of MurmurHash3_x64_128 of data[start : start + length].

    Both halves of the state begin as the whole `seed`, as in cudf; the original has 32 bits of seed.
    """
    h1 = h2 = seed
    stop = start + length
    for i in range(start, stop - 15, 16):
        h1 = np.uint64(h1 ^ low64(load64(data, i)))
        h1 = np.uint64((rotate64(h1, 27) + h2) * np.uint64(5) + np.uint64(0x52DCE729))
        h2 = np.uint64(h2 ^ high64(load64(data, i + 8)))
        h2 = np.uint64((rotate64(h2, 31) + h1) * np.uint64(5) + np.uint64(0x38495AB5))
    rest = length & 15
    if rest > 8:
        h2 = np.uint64(h2 ^ high64(lowest(load64(data, stop - rest + 8), rest - 8)))
    h1 = np.uint64(h1 ^ low64(lowest(load64(data, stop - rest), min(rest, 8))))
    h1, h2 = np.uint64(h1 ^ np.uint64(length)), np.uint64(h2 ^ np.uint64(length))
    h1 = np.uint64(h1 + h2)
    h2 = np.uint64(h2 + h1)
    return np.uint64(mix64(h1) + mix64(h2))


@compiled
def lowest(word: np.uint64, count: int) -> np.uint64:
    """Return the lowest `count` bytes of a word, 0 to 8."""
    return word if count == 8 else np.uint64(word & ((np.uint64(1) << np.uint64(8 * count)) - np.uint64(1)))


@compiled
def low64(word: np.uint64) -> np.uint64:
    """Scramble the first 8 bytes of 16."""
    return np.uint64(rotate64(np.uint64(word * D1), 31) * D2)


@compiled
def high64(word: np.uint64) -> np.uint64:
    """Scramble the last 8 bytes of 16."""
    return np.uint64(rotate64(np.uint64(word * D2), 33) * D1)


@compiled
def rotate64(word: np.uint64, bits: int) -> np.uint64:
    """Rotate a word left."""
    return np.uint64(word << np.uint64(bits) | word >> np.uint64(64 - bits))
