"""Every kind of sketch over every kind of shingle, by name."""

from __future__ import annotations

import numpy as np

from curator.errors import SpecError
from curator.kernels import characters, cudf_minhash, minhash, shingles, words
from curator.kernels.bits import compiled
from curator.kernels.sketch import sketch as word_sketch
from curator.kernels.sketch import sketch_set
from millrace.config import did_you_mean

SKETCHES = ("fss", "minhash", "cudf", "cudf64")
SHINGLES = ("words", "characters")


def check(sketch: str, shingles: str, width: int, size: int) -> None:
    """Refuse names and numbers that no sketch has."""
    for field, given, known in (("sketch", sketch, SKETCHES), ("shingles", shingles, SHINGLES)):
        if given not in known:
            raise SpecError(f"no {field} is called {given!r}.{did_you_mean(given, known)} Known: {', '.join(known)}")
    least = 2 if sketch.startswith("cudf") else 1  # cudf refuses windows of one
    if width < least:
        raise SpecError(f"the shingles of sketch {sketch!r} are at least {least} wide; {width} was asked for")
    if size < 1:
        raise SpecError(f"a sketch has at least 1 value; {size} were asked for")


def sets(offsets: np.ndarray, data: np.ndarray, kind: str, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each document's sorted distinct shingle hashes: (starts int64 (rows + 1), flat uint64)."""
    check("fss", kind, width, 1)
    return characters.sets(offsets, data, width) if kind == "characters" else shingles.sets(offsets, data, width)


def sets_of(
    offsets: np.ndarray, data: np.ndarray, rows: np.ndarray, kind: str, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sets of some rows, int64 ascending."""
    check("fss", kind, width, 1)
    of = characters.sets_of if kind == "characters" else shingles.sets_of
    return of(offsets[rows], offsets[rows + 1], data, width)


def signatures(
    offsets: np.ndarray, data: np.ndarray, sketch: str, kind: str, width: int, size: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (sketches uint32 or, of "cudf64", uint64 (rows, size), empty bool (rows)).

    offsets: int64 (rows + 1) into data, UTF-8 bytes; 0 <= seed < 2**32. A document without shingles is
    empty and its sketch all zero.
    """
    check(sketch, kind, width, size)
    if sketch.startswith("cudf"):
        made = cudf_minhash.parameters(size, seed, 64 if sketch == "cudf64" else 32)
        return cudf_minhash.sketch(offsets, data, kind == "characters", width, made)
    if (sketch, kind) == ("fss", "words"):
        return word_sketch(offsets, data, size, width, seed)
    offsets, data = shingles.frozen(offsets), shingles.frozen(data)
    longest = shingles.longest_document(offsets)
    if kind == "characters":
        fold, (points, hashes), text = characters.folded(), characters.scratch(longest), np.empty(0, np.uint8)
    else:
        fold, (text, hashes), points = words.folded(), shingles.scratch(longest), np.empty(0, np.uint32)
    room = text, points, hashes, np.empty(hashes.size + minhash.SWEEP, np.uint32)
    a, b = map(minhash.padded, minhash.parameters(size if sketch == "minhash" else 0, np.uint32(seed)))
    return _signatures(offsets, data, fold, kind == "characters", width, size, np.uint32(seed), a, b, *room)


@compiled
def _signatures(
    offsets: np.ndarray,
    data: np.ndarray,
    fold: np.ndarray,
    by_characters: bool,
    width: int,
    size: int,
    seed: np.uint32,
    a: np.ndarray,
    b: np.ndarray,
    text: np.ndarray,
    points: np.ndarray,
    hashes: np.ndarray,
    elements: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    rows = offsets.size - 1
    sketches, empty = np.zeros((rows, size), np.uint32), np.zeros(rows, np.bool_)
    bins, least = np.empty(size, np.uint64), np.empty(a.size, np.uint32)
    for row in range(rows):
        document = data[offsets[row] : offsets[row + 1]]
        if by_characters:
            count = characters.hash_characters(document, fold, width, points, hashes)
        else:
            count = shingles.hash_shingles(document, fold, width, text, hashes)
        empty[row] = count == 0
        if count and a.size:
            for i in range(count):
                elements[i] = np.uint32(hashes[i] >> np.uint64(32))
            minhash.minima(elements, count, a, b, least)
            sketches[row] = least[:size]
        elif count:
            sketch_set(hashes[:count], seed, bins)
            for k in range(size):
                sketches[row, k] = np.uint32(bins[k])
    return sketches, empty
