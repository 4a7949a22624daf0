"""Cut a text's windows into runs, and hash what must be compared: winnowing for `curator.kernels.substrings`.

A unit is a byte (uint8) or a word as a number (uint64); a window is `length` consecutive units, a gram half
of that. A window's print is the smallest hash of its grams (Schleimer, Wilkerson, Aiken, SIGMOD 2003), so equal
windows have equal prints. Consecutive windows of one print are a run, of at most as many windows as a window
has grams: 1.9 runs a hundred units where length is 200.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curator.kernels.bits import compiled, fold_multiply, load64, mix64, multiply_61

GRAM_BASE = np.uint64(0x9E3779B97F4A7C15)
GRAM_FACTOR = np.uint64(0xD6E8FEB86659FD93)
RUN_SEED = np.uint64(0x9E3779B97F4A7C15)
RUN_FACTOR = np.uint64(0x9FB21C651E98DF25)
PRIME = np.uint64((1 << 61) - 1)
WINDOW_BASE = np.uint64(0x0F3779B97F4A7C15)  # below PRIME


class Runs(NamedTuple):
    """Runs of windows by document and position: five arrays of one length."""

    documents: np.ndarray  # int64: number of the document
    starts: np.ndarray  # int64: first unit of the first window
    windows: np.ndarray  # int64: how many; the last one ends at starts + windows - 1 + length
    prints: np.ndarray  # uint64: fingerprint
    hashes: np.ndarray  # uint64: hash of the run's units; odd if windows of the run may equal each other


def winnow(offsets: np.ndarray, units: np.ndarray, length: int) -> Runs:
    """Cut the windows of every document into runs.

    offsets: int64 (documents + 1); units: uint8 or uint64. A document of fewer than `length` units has no
    runs. Memory: 16 bytes a unit of the longest document, 40 a run.
    """
    longest = int(np.diff(offsets).max(initial=0))
    scratch = np.empty(longest, np.uint64)
    room = 64 + int(offsets[-1] - offsets[0]) // max(length // 4, 1)
    places, hashes = np.empty((3, room), np.int64), np.empty((2, room), np.uint64)
    document = found = 0
    while True:
        document, found = _winnow(offsets, units, length, document, found, places, hashes, scratch)
        if document == len(offsets) - 1:
            return Runs(*places[:, :found], *hashes[:, :found])
        more = max(room, 2 * longest)
        places, hashes = (np.concatenate([a, np.empty((len(a), more), a.dtype)], axis=1) for a in (places, hashes))


@compiled
def _winnow(
    offsets: np.ndarray,
    units: np.ndarray,
    length: int,
    document: int,
    found: int,
    places: np.ndarray,
    hashes: np.ndarray,
    scratch: np.ndarray,
) -> tuple[int, int]:
    """Write the runs of documents from `document` on; return the first that found no room, and how many."""
    gram = max(1, length // 2)  # more gives more runs, fewer leaves more of them open
    width = length - gram + 1  # grams of a window
    while document < offsets.size - 1:
        text = units[offsets[document] : offsets[document + 1]]
        if text.size < length:
            document += 1
            continue
        grams = hash_grams(text, gram, scratch)
        before = found
        found = cut_runs(grams, width, found, places, hashes)
        if found < 0:
            return document, before
        for run in range(before, found):
            start = places[1, run]
            places[0, run] = document
            whole = hash_units(text, start, start + places[2, run] - 1 + length)
            hashes[1, run] = np.uint64(whole & ~np.uint64(1) | hashes[1, run])
        document += 1
    return document, found


@compiled
def hash_grams(text: np.ndarray, gram: int, scratch: np.ndarray) -> np.ndarray:
    """Return the hash of each gram of a text, in `scratch`: Karp-Rabin modulo 2**64, then mixed."""
    gone = np.uint64(1)
    for _ in range(gram):
        gone = np.uint64(gone * GRAM_BASE)
    x = np.uint64(0)
    for i in range(gram - 1):
        x = np.uint64(x * GRAM_BASE + np.uint64(text[i]))
    out, ahead = scratch[: text.size - gram + 1], text[gram - 1 :]
    lost = np.uint64(0)
    for i in range(out.size):
        x = np.uint64(x * GRAM_BASE + np.uint64(np.uint64(ahead[i]) - lost))
        lost = np.uint64(gone * np.uint64(text[i]))
        out[i] = np.uint64((x ^ (x >> np.uint64(32))) * GRAM_FACTOR)
    return out


@compiled
def cut_runs(grams: np.ndarray, width: int, found: int, places: np.ndarray, hashes: np.ndarray) -> int:
    """Write (start, windows) to places[1:] and (print, 1 or 0) to `hashes` for each run of windows of `width`
    grams that have the same least one, from row `found` on; return the row after the last, or -1 for no room.

    `place` is the last of the least grams of a window: as long as it stays in the window and no gram that
    enters is as small, a step is one comparison. Two windows of a run are equal only if it moves in between;
    then the bit is 1.
    """
    place, begun, i, moved = last_least(grams, 0, width), 0, width, 0
    while True:
        least = grams[place]
        stop = min(grams.size, place + width)
        while i < stop and grams[i] > least:
            i += 1
        if i < stop and grams[i] == least:
            place = i
            moved = 1
            i += 1
            continue
        ended = i - width + 1  # the first window of another least gram, or the number of windows
        if found + 1 + (ended - begun) // width > hashes.shape[1]:
            return -1
        for start in range(begun, ended, width):  # a least gram that repeats could hold on for ever
            places[1, found] = start
            places[2, found] = min(width, ended - start)
            hashes[0, found] = mix64(least)  # the smallest hashes have empty high bits
            hashes[1, found] = moved
            found += 1
        if i == grams.size:
            return found
        place = i if i < stop else last_least(grams, place + 1, i + 1)
        begun, moved = ended, 0
        i += 1


@compiled
def last_least(values: np.ndarray, start: int, stop: int) -> int:
    """Return the last position of the least of values[start:stop]."""
    least = values[start]
    for i in range(start + 1, stop):
        least = values[i] if values[i] < least else least
    place = stop - 1
    while values[place] != least:
        place -= 1
    return place


@compiled
def hash_units(units: np.ndarray, start: int, stop: int) -> np.uint64:
    """Hash units[start:stop], 8 bytes a step."""
    x = y = np.uint64(RUN_SEED + np.uint64(stop - start))
    step = 8 // units.itemsize
    while start + 2 * step <= stop:  # two chains: a product takes longer to come than to start
        x = fold_multiply(x ^ load64(units, start), RUN_FACTOR)
        y = fold_multiply(y ^ load64(units, start + step), RUN_FACTOR)
        start += 2 * step
    block = np.uint64(0)
    for i in range(start, stop):
        block = np.uint64(block * RUN_SEED + np.uint64(units[i]))
    return np.uint64(fold_multiply(x ^ mix64(y), RUN_FACTOR) ^ mix64(block))


@compiled
def hash_windows(units: np.ndarray, starts: np.ndarray, windows: np.ndarray, length: int) -> np.ndarray:
    """Return uint64 (windows.sum()): the hash of every window of some runs, Karp-Rabin modulo 2**61 - 1.

    starts: int64 (runs), positions in `units`; windows: int64 (runs). Below 2**61. Cost: 3 ns a unit.
    """
    out = np.empty(windows.sum(), np.uint64)
    gone = np.uint64(1)
    for _ in range(length):
        gone = multiply_61(gone, WINDOW_BASE)
    written = 0
    for run in range(starts.size):
        start = starts[run]
        x = np.uint64(0)
        for i in range(start, start + length):
            x = below_prime(multiply_61(x, WINDOW_BASE) + residue(units[i]))
        out[written] = x
        written += 1
        for i in range(start, start + windows[run] - 1):
            lost = multiply_61(residue(units[i]), gone)
            x = below_prime(multiply_61(x, WINDOW_BASE) + residue(units[i + length]))
            x = below_prime(x + PRIME - lost)
            out[written] = x
            written += 1
    return out


@compiled
def below_prime(x: np.uint64) -> np.uint64:
    """Reduce a sum of two residues."""
    return np.uint64(x - PRIME) if x >= PRIME else np.uint64(x)


@compiled
def residue(unit: int) -> np.uint64:
    """Return a unit modulo 2**61 - 1."""
    x = np.uint64(unit)
    return below_prime(np.uint64((x & PRIME) + (x >> np.uint64(61))))
