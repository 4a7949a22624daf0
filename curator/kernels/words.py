"""Normalise text and hash its words.

The specification, which a version for another device must meet to the bit:

1. Each code point becomes its Unicode lower case where that is one code point, else stays itself.
2. Words are the maximal runs of WORD code points, as `\\w+` finds them; code points from LIMIT up are none.
3. A word's hash: its lower-cased UTF-8 bytes, cut into blocks of 8. A block is a little-endian integer;
   the last one, of k bytes, is shifted left by 64 - 8k bits. From x = WORD_SEED + (length in bytes), each
   block b gives x = high ^ low half of the 128-bit product (x ^ b) * WORD_FACTOR.
"""

from __future__ import annotations

import functools

import numpy as np

from curator.kernels.bits import BLOCK, bits_above, compiled, fold_multiply, load64, trailing_zeros
from curator.kernels.unicode import LIMIT, WORD, classes, lower_case

WORD_SEED = np.uint64(0x9E3779B97F4A7C15)
WORD_FACTOR = np.uint64(0x9FB21C651E98DF25)
SPACE = np.uint8(32)  # stands for every byte that is in no word; smaller than any byte of a word


@functools.cache
def folded() -> np.ndarray:
    """Return uint32 (LIMIT,): the lower case of each code point that words are made of, else SPACE."""
    return np.where(classes() & WORD, lower_case(), np.uint32(SPACE))


def scratch_bytes(document_bytes: int) -> int:
    """Return the room `normalise` needs: lower case turns 2 bytes into 3 at worst, then comes padding."""
    return document_bytes + document_bytes // 2 + 2 * BLOCK


@compiled
def normalise(text: np.ndarray, fold: np.ndarray, out: np.ndarray) -> int:
    """Write the lower-cased words of UTF-8 `text` to `out`, SPACE between them; return the length.

    BLOCK spaces follow the end, so that later steps may read past it.
    """
    read = written = 0
    while read < text.size:
        stop = read + BLOCK
        if stop <= text.size and fold_ascii(text[read:stop], out[written : written + BLOCK]):
            read = stop
            written += BLOCK
        else:
            read, written = fold_code_points(text, read, min(stop, text.size), fold, out, written)
    out[written : written + BLOCK] = SPACE
    return written


@compiled
def fold_ascii(text: np.ndarray, out: np.ndarray) -> bool:
    """Normalise BLOCK bytes one by one, which the compiler does at once; tell whether all were ASCII."""
    seen = np.uint8(0)
    for i in range(BLOCK):
        byte = text[i]
        seen = np.uint8(seen | byte)
        upper = np.uint8(byte - np.uint8(65)) < np.uint8(26)
        small = np.uint8(byte | (np.uint8(32) if upper else np.uint8(0)))
        letter = np.uint8(small - np.uint8(97)) < np.uint8(26)
        digit = np.uint8(byte - np.uint8(48)) < np.uint8(10)
        out[i] = small if letter | digit | (byte == np.uint8(95)) else SPACE  # 95 is _
    return bool(seen < np.uint8(128))


@compiled
def fold_code_points(
    text: np.ndarray, read: int, stop: int, fold: np.ndarray, out: np.ndarray, written: int
) -> tuple[int, int]:
    """Normalise the code points that start in text[read:stop]; return where reading and writing stopped."""
    while read < stop:
        lead = int(text[read])
        if lead < 0x80:
            out[written] = np.uint8(fold[lead])
            read += 1
            written += 1
            continue
        code, read = decode(text, read, lead)
        written = encode(int(fold[code]) if code < LIMIT else int(SPACE), out, written)
    return read, written


@compiled
def decode(text: np.ndarray, read: int, lead: int) -> tuple[int, int]:
    """Return the code point of 2 to 4 bytes at text[read], and where the next one starts."""
    second = int(text[read + 1]) & 63
    if lead < 0xE0:
        return (lead & 31) << 6 | second, read + 2
    third = int(text[read + 2]) & 63
    if lead < 0xF0:
        return (lead & 15) << 12 | second << 6 | third, read + 3
    return (lead & 7) << 18 | second << 12 | third << 6 | int(text[read + 3]) & 63, read + 4


@compiled
def encode(code: int, out: np.ndarray, written: int) -> int:
    """Write a code point as UTF-8 at out[written]; return where the next one goes."""
    if code < 0x80:
        out[written] = code
        return written + 1
    if code < 0x800:
        out[written] = 0xC0 | code >> 6
    else:
        if code < 0x10000:
            out[written] = 0xE0 | code >> 12
        else:
            out[written] = 0xF0 | code >> 18
            written += 1
            out[written] = 0x80 | code >> 12 & 63
        written += 1
        out[written] = 0x80 | code >> 6 & 63
    out[written + 1] = 0x80 | code & 63
    return written + 2


@compiled
def hash_words(text: np.ndarray, length: int, hashes: np.ndarray) -> int:
    """Hash the words of normalised text[:length] to `hashes`; return how many there are.

    `text` holds BLOCK spaces after its length, `hashes` room for (length + 1) // 2.
    """
    count = start = 0
    inside = np.uint64(0)  # 1 while a word is open
    for base in range(0, length + 1, BLOCK):  # the padding closes the last word
        words = bits_above(text, base, SPACE)
        edges = words ^ (words << np.uint64(1) | inside)  # a bit where a word starts or has just ended
        while edges:
            edge = base + trailing_zeros(edges)
            edges &= edges - np.uint64(1)
            if inside:
                hashes[count] = hash_word(text, start, edge - start)
                count += 1
            start = edge
            inside ^= np.uint64(1)
    return count


@compiled
def hash_word(text: np.ndarray, start: int, length: int) -> np.uint64:
    """Hash text[start : start + length]; reads up to 7 bytes past it."""
    x = np.uint64(WORD_SEED + np.uint64(length))
    while length > 8:
        x = fold_multiply(x ^ load64(text, start), WORD_FACTOR)
        start += 8
        length -= 8
    return np.uint64(fold_multiply(x ^ (load64(text, start) << np.uint64(64 - 8 * length)), WORD_FACTOR))
