"""Character shingles: `width` consecutive characters of the normalised text.

They need no words, so they are the better choice for Chinese, Japanese, Thai and other scripts written
without spaces, where curator.kernels.words takes a whole run of letters, often a clause, for one word.

The specification, which a version for another device must meet to the bit:

1. Each code point becomes its Unicode lower case where that is one code point, else stays itself.
2. Each maximal run of white space (code points for which str.isspace holds) becomes one space; those
   at the ends go. Punctuation, digits and marks stay.
3. A shingle's hash, over its code points c: Horner's rule h = h * SHINGLE_FACTOR + (c + 1) from h = 0,
   modulo 2**64; then h = high ^ low half of the 128-bit product (h ^ WORD_SEED) * WORD_FACTOR. A text of
   fewer characters, but at least one, is one shingle of all of them.
"""

from __future__ import annotations

import functools

import numpy as np

from curator.kernels.bits import BLOCK, compiled, fold_multiply
from curator.kernels.shingles import SHINGLE_FACTOR, frozen, sort_distinct
from curator.kernels.unicode import LIMIT, SPACE, classes, lower_case
from curator.kernels.words import WORD_FACTOR, WORD_SEED, decode

BLANK = np.uint32(32)  # what all white space becomes
TABLE = 1 << 20  # hashes sorted in a table (24 MB) at most; those of longer documents are sorted in place


@functools.cache
def folded() -> np.ndarray:
    """Return uint32 (LIMIT,): the lower case of each code point, BLANK for white space."""
    return np.where(classes() & SPACE, BLANK, lower_case())


def sets(offsets: np.ndarray, data: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each document's sorted distinct shingle hashes: (starts int64 (rows + 1), flat uint64).

    offsets: int64 (rows + 1) into data, UTF-8 bytes. A document of white space alone has an empty set.
    Memory: the result, 12 bytes a byte of the longest document, and at most 24 MB.
    """
    return sets_of(offsets[:-1], offsets[1:], data, width)


def sets_of(begins: np.ndarray, ends: np.ndarray, data: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Do so for the documents data[begins[i] : ends[i]], int64, wherever they lie."""
    begins, ends, data = frozen(begins), frozen(ends), frozen(data)
    points, hashes = scratch(int((ends - begins).max(initial=0)))
    table = np.empty(3 * min(hashes.size, TABLE), np.uint64)
    return _sets(begins, ends, data, folded(), width, points, hashes, table)


def scratch(longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return room for a document of `longest` bytes: (normalised code points uint32, hashes uint64)."""
    return np.empty(longest + 1, np.uint32), np.empty(longest, np.uint64)


@compiled
def hash_characters(document: np.ndarray, fold: np.ndarray, width: int, points: np.ndarray, hashes: np.ndarray) -> int:
    """Hash the shingles of a document's UTF-8 bytes to `hashes`, in order; return how many there are."""
    characters = normalise(document, fold, points)
    if characters == 0:
        return 0
    width = min(width, characters)
    count = characters - width + 1
    roll(points, count, width, hashes)
    return count


@compiled
def normalise(document: np.ndarray, fold: np.ndarray, points: np.ndarray) -> int:
    """Write the normalised code points of UTF-8 `document` to `points`; return how many there are.

    `points` has room for one more than the document has bytes.
    """
    block = np.empty(BLOCK + 1, np.uint8)  # what was written last, and BLOCK folded bytes
    before = BLANK
    read = written = 0
    while read < document.size:
        stop = min(read + BLOCK, document.size)
        block[0] = np.uint8(BLANK) if before == BLANK else np.uint8(0)
        plain, crowded = fold_ascii(document[read:stop], block) if stop - read == BLOCK else (False, False)
        if plain and not crowded:
            for i in range(BLOCK):
                points[written + i] = np.uint32(block[i + 1])
            written += BLOCK
            before = np.uint32(block[BLOCK])
            read = stop
        elif plain:
            for i in range(BLOCK):
                points[written] = point = np.uint32(block[i + 1])
                written += int((point != BLANK) | (before != BLANK))
                before = point
            read = stop
        else:
            read, written, before = fold_code_points(document, read, stop, fold, points, written, before)
    return written - int(written > 0 and before == BLANK)


@compiled
def fold_ascii(text: np.ndarray, out: np.ndarray) -> tuple[bool, bool]:
    """Fold BLOCK bytes to out[1:], all at once; tell whether all were ASCII, and whether blanks meet."""
    seen = np.uint8(0)
    for i in range(BLOCK):
        byte = text[i]
        seen = np.uint8(seen | byte)
        upper = np.uint8(byte - np.uint8(65)) < np.uint8(26)
        small = np.uint8(byte | (np.uint8(32) if upper else np.uint8(0)))
        blank = (np.uint8(byte - np.uint8(9)) < np.uint8(5)) | (np.uint8(byte - np.uint8(28)) < np.uint8(5))
        out[i + 1] = np.uint8(32) if blank else small
    met = np.uint8(0)
    for i in range(BLOCK):
        met = np.uint8(met | np.uint8((out[i] == np.uint8(32)) & (out[i + 1] == np.uint8(32))))
    return bool(seen < np.uint8(128)), bool(met)


@compiled
def fold_code_points(
    document: np.ndarray, read: int, stop: int, fold: np.ndarray, points: np.ndarray, written: int, before: np.uint32
) -> tuple[int, int, np.uint32]:
    """Normalise the code points that start in document[read:stop]; return (read, written, the last one)."""
    while read < stop:
        code = int(document[read])
        if code < 0x80:
            read += 1
        else:
            code, read = decode(document, read, code)
        points[written] = point = fold[code] if code < LIMIT else np.uint32(code)
        written += int((point != BLANK) | (before != BLANK))
        before = point
    return read, written, before


@compiled
def roll(points: np.ndarray, count: int, width: int, hashes: np.ndarray) -> None:
    """Hash `count` windows of `width` code points, each from the one before it.

    The two halves advance side by side, so that neither waits for its own multiplication.
    """
    power = np.uint64(1)  # SHINGLE_FACTOR ** width: the weight with which a code point leaves
    for _ in range(width):
        power = np.uint64(power * SHINGLE_FACTOR)
    half = count // 2
    left, right = points, points[half:]
    first, second = hashes, hashes[half:]
    a, b = horner(left, width), horner(right, width)
    for i in range(half):
        first[i], second[i] = finish(a), finish(b)
        a = np.uint64(a * SHINGLE_FACTOR + digit(left[i + width]) - digit(left[i]) * power)
        b = np.uint64(b * SHINGLE_FACTOR + digit(right[i + width]) - digit(right[i]) * power)
    if count % 2:
        second[half] = finish(b)


@compiled
def horner(points: np.ndarray, width: int) -> np.uint64:
    """Return the sum of the first window."""
    h = np.uint64(0)
    for i in range(width):
        h = np.uint64(h * SHINGLE_FACTOR + digit(points[i]))
    return h


@compiled
def digit(point: np.uint32) -> np.uint64:
    """Return what a code point adds: never 0, so that a text's length tells too."""
    return np.uint64(np.uint64(point) + np.uint64(1))


@compiled
def finish(h: np.uint64) -> np.uint64:
    """Mix a window's sum."""
    return np.uint64(fold_multiply(h ^ WORD_SEED, WORD_FACTOR))


@compiled
def _sets(
    begins: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    fold: np.ndarray,
    width: int,
    points: np.ndarray,
    hashes: np.ndarray,
    table: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    starts = np.zeros(begins.size + 1, np.int64)
    flat = np.empty((ends - begins).sum(), np.uint64)  # a shingle a byte at most; the rest is never touched
    used = 0
    for row in range(begins.size):
        count = hash_characters(data[begins[row] : ends[row]], fold, width, points, hashes)
        if 3 * count <= table.size:
            used += sort_distinct(hashes[:count], table, flat[used:])
        else:
            used += sort_distinct_in_place(hashes[:count], flat[used:])
        starts[row + 1] = used
    return starts, flat[:used]


@compiled
def sort_distinct_in_place(hashes: np.ndarray, out: np.ndarray) -> int:
    """Sort the hashes and write the distinct ones to `out`; return how many there are."""
    hashes.sort()
    written = 0
    for i in range(hashes.size):
        out[written] = hashes[i]
        written += i + 1 == hashes.size or hashes[i] != hashes[i + 1]
    return written
