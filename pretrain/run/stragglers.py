"""Ranks that are slower than the others: found from each one's own seconds, without a collective.

All ranks of a step take the same time, as the fast ones wait in collectives. A rank's own seconds are what its main
thread computed and what it waited for data (`pretrain.run.marks`). On a GPU that shows slow hosts, loaders and file
systems; a GPU with a lower clock it does not show, as the host thread waits for the GPU on every rank alike.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

KEY = "own_seconds"
LEAST_SECONDS = 0.01  # a step; below it is jitter of the machine, and nothing that slows a run


@dataclass(frozen=True)
class Straggler:
    """A rank and its seconds a step, beside the median of the others."""

    rank: int
    seconds: float
    median: float

    def __str__(self) -> str:
        ratio = self.seconds / self.median if self.median else float("inf")
        return (
            f"rank {self.rank} is a straggler: {self.seconds:.3f} s a step of its own work,"
            f" {ratio:.1f} times the median of the other ranks ({self.median:.3f} s)"
        )


def find(seconds: list[float], ratio: float) -> list[Straggler]:
    """Return the ranks whose seconds are more than `ratio` times the median of the others; none with ratio 0."""
    if not ratio or len(seconds) < 2:
        return []
    medians = [statistics.median(seconds[:rank] + seconds[rank + 1 :]) for rank in range(len(seconds))]
    return [
        Straggler(rank, own, median)
        for rank, (own, median) in enumerate(zip(seconds, medians))
        if own > ratio * median and own - median > LEAST_SECONDS
    ]


class Stragglers:
    """Compares the ranks over windows of steps, through the store; rank 0 names who is slow."""

    def __init__(self, store: Any, rank: int, world: int, ratio: float):
        self._store, self._rank, self._world, self._ratio = store, rank, world, ratio
        self._named: set[int] = set()

    def window(self, own_seconds: float, steps: int) -> list[Straggler]:
        """End a window of `steps` steps; on rank 0 return who became a straggler, elsewhere nothing.

        `own_seconds`: of this rank, in the window. Rank 0 takes what each of the others wrote last, so their windows
        may be one apart; it waits for none, and says nothing until all have written. A rank is named again only
        after it had recovered.
        """
        self._store.set(f"{KEY}/{self._rank}", repr(own_seconds / steps))
        keys = [f"{KEY}/{rank}" for rank in range(self._world)]
        if self._rank != 0 or not self._store.check(keys):
            return []
        found = find([float(value) for value in self._store.multi_get(keys)], self._ratio)
        fresh = [straggler for straggler in found if straggler.rank not in self._named]
        self._named = {straggler.rank for straggler in found}
        return fresh
