"""The endless order of training rows: sets blended by token weight, with random access and next to no memory.

Row j of a set with rate r (its share of the rows) stands at virtual time (j + 1/2) / r; the order is that of
time, then of set. So after any number of rows each set has had its share to within half a row of r x time:
the apportionment of Webster (Sainte-Laguë). A block of virtual time is computed when a row of it is asked for;
nothing depends on which rows were asked for before, nor on where the run will end.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BLOCK_ROWS = 4096  # virtual time of a block, which is about its rows
ROUNDS = 6  # of the Feistel network


@dataclass(frozen=True)
class Source:
    """What the order knows of a set."""

    rows: int
    rate: float  # its share of all rows; any positive scale
    shuffled: bool = True  # its stored order is already random: the first epoch keeps it


class Order:
    """Position in the training run -> (set, row of the set)."""

    def __init__(self, sources: Sequence[Source], seed: int) -> None:
        total = math.fsum(source.rate for source in sources)
        self.sources = list(sources)
        self.rates = [source.rate / total for source in sources]
        self.seed = seed
        self._block = functools.lru_cache(maxsize=4)(self._compute)

    def __getitem__(self, positions: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return (set int64 (n,), row int64 (n,)) of the positions of a slice with both ends."""
        place, stop = int(positions.start), int(positions.stop)
        block = place // BLOCK_ROWS
        while self._first(block) > place:
            block -= 1
        sets, rows = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        while place < stop:
            first, after = self._first(block), self._first(block + 1)
            if place < after:
                here = slice(place - first, min(stop, after) - first)
                which, row = self._block(block)
                sets.append(which[here])
                rows.append(row[here])
                place = min(stop, after)
            block += 1
        return np.concatenate(sets), np.concatenate(rows)

    def taken(self, position: int) -> list[int]:
        """Count the rows of each set before a position, epochs included: where each set stands."""
        block = max(position // BLOCK_ROWS - 1, 0)
        while self._first(block + 1) <= position:
            block += 1
        while self._first(block) > position:
            block -= 1
        which, _ = self._block(block)
        inside = np.bincount(which[: position - self._first(block)], minlength=len(self.rates))
        return [self._before(rate, block) + int(n) for rate, n in zip(self.rates, inside, strict=True)]

    def _first(self, block: int) -> int:
        """Return the position of the first row of a block."""
        return sum(self._before(rate, block) for rate in self.rates)

    @staticmethod
    def _before(rate: float, block: int) -> int:
        """Count a set's rows before a block: those whose time, as it is rounded, is earlier than the block's."""
        time = float(block * BLOCK_ROWS)
        count = max(math.ceil(time * rate - 0.5), 0)
        while count > 0 and (count - 0.5) / rate >= time:
            count -= 1
        while (count + 0.5) / rate < time:
            count += 1
        return count

    def _compute(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        ranges = [range(self._before(rate, block), self._before(rate, block + 1)) for rate in self.rates]
        which = np.repeat(np.arange(len(ranges)), [len(r) for r in ranges])
        number = np.concatenate([np.arange(r.start, r.stop, dtype=np.int64) for r in ranges])
        times = (number + 0.5) / np.array(self.rates)[which]
        sort = np.lexsort((which, times))
        row = np.concatenate([self._rows(i, np.arange(r.start, r.stop)) for i, r in enumerate(ranges)])
        return which[sort], row[sort]

    def _rows(self, index: int, number: np.ndarray) -> np.ndarray:
        """Return the stored row that a set gives as its `number`-th: each once an epoch."""
        source = self.sources[index]
        stored, epochs = number % source.rows, number // source.rows
        shuffled = permuted(stored, source.rows, mixed(epochs, (self.seed, index)))
        return np.where((epochs == 0) & source.shuffled, stored, shuffled)


def permuted(values: np.ndarray, size: int, keys: np.ndarray) -> np.ndarray:
    """Permute 0 .. size - 1: return the image of each of `values` (int64) under its key (uint64), found by itself.

    A Feistel network over the smallest even number of bits that holds `size`, walked until the image is in range
    (Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains", section 3): at most 4 walks on average.
    """
    half = max((max(size - 1, 1).bit_length() + 1) // 2, 1)
    images = values.astype(np.uint64)
    outside = np.arange(len(values))
    while len(outside):
        images[outside] = _feistel(images[outside], half, keys[outside])
        outside = outside[images[outside] >= size]
    return images.astype(np.int64)


def _feistel(values: np.ndarray, half: int, keys: np.ndarray) -> np.ndarray:
    mask = np.uint64((1 << half) - 1)
    left, right = values >> np.uint64(half), values & mask
    for number in range(ROUNDS):
        left, right = right, left ^ (_mix64(right ^ mixed(keys, (number,))) & mask)
    return (left << np.uint64(half)) | right


def mixed(values: np.ndarray, key: Sequence[int]) -> np.ndarray:
    """Hash whole numbers under a key of whole numbers: uint64, the same on every machine."""
    state = np.zeros(1, np.uint64)
    for number in key:
        state = _mix64(state ^ np.uint64(number & 0xFFFFFFFFFFFFFFFF))
    return _mix64(values.astype(np.uint64) ^ state)


def _mix64(x: np.ndarray) -> np.ndarray:
    """Mix all bits into all bits: SplitMix64 (Steele, Lea and Flood 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed_bits: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed_bits
