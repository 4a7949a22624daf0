"""How the values of one column are spread: a sketch of bounded size, exact in what lies beyond a limit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

DROPPED_BITS = 42  # of a float64's 52: what is left tells values apart that differ by 0.1 %
MAGNITUDE = np.int64(0x7FFF_FFFF_FFFF_FFFF)


@dataclass(frozen=True)
class Limit:
    """A threshold that a rule holds a signal against."""

    name: str  # the field of the filter
    value: float
    below: bool  # True: values below it are rejected; False: those above
    stage: int  # place of the filter in the pipeline
    reason: str


class Spread:
    """Counts values by their sign, exponent and upper ten bits of mantissa.

    At most a few thousand counters for each power of two the column spans, whatever its length. Nulls
    and values that are not finite are counted as not measured.
    """

    def __init__(self, limits: tuple[Limit, ...] = ()):
        self.limits = limits
        self.inside: Counter[int] = Counter()  # key -> values that no limit rejects
        self.beyond: Counter[int] = Counter()
        self.over = [0] * len(limits)  # values beyond each limit, exactly
        self.values = self.nulls = 0
        self.whole = True  # only integers so far

    def add(self, column: pa.ChunkedArray) -> None:
        """Count the values of one column."""
        self.whole &= pa.types.is_integer(column.type)
        given = column.drop_null().to_numpy()
        values = given[np.isfinite(given)].astype(np.float64)  # in which the filter compared them too
        self.values += len(values)
        self.nulls += len(column) - len(values)
        rejected = np.zeros(len(values), bool)
        for place, limit in enumerate(self.limits):
            mask = values < limit.value if limit.below else values > limit.value
            self.over[place] += int(mask.sum())
            rejected |= mask
        _count(self.inside, values[~rejected])
        _count(self.beyond, values[rejected])

    def table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (value, ascending; how many inside the limits; how many beyond), shape (keys,) each."""
        keys = np.array(sorted(self.inside.keys() | self.beyond.keys()), np.int64)
        found = [np.array([c[k] for k in keys.tolist()], np.int64) for c in (self.inside, self.beyond)]
        return _values(keys), found[0], found[1]


def _count(counter: Counter[int], values: np.ndarray) -> None:
    bits = (values.astype(np.float64) + 0.0).view(np.int64)  # adding 0.0 makes -0.0 plain
    keys = (bits & MAGNITUDE) >> DROPPED_BITS
    found, counts = np.unique(np.where(bits < 0, -keys, keys), return_counts=True)
    for key, count in zip(found.tolist(), counts.tolist(), strict=True):
        counter[key] += count


def _values(keys: np.ndarray) -> np.ndarray:
    """Return the value nearest zero of each key."""
    sizes: np.ndarray = (np.abs(keys) << DROPPED_BITS).view(np.float64)
    signed: np.ndarray = np.sign(keys) * sizes
    return signed


def quantile(values: np.ndarray, counts: np.ndarray, share: float) -> float:
    """Return the smallest value with at least `share` of all counts at or below it."""
    reached = np.cumsum(counts)
    return float(values[np.searchsorted(reached, share * reached[-1])])
