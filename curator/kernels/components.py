"""Connected components by union-find: rows joined through equal band keys, or through pairs given.

`parents` is a forest, uint32 (rows), one row each: np.arange(rows, dtype=np.uint32) to begin with. The root of a
tree is its smallest row, so the order of the unions does not show in `flatten`. Fewer than 2**32 - 1 rows.
Galler and Fischer, CACM 1964; path halving: Tarjan and van Leeuwen, JACM 1984.
"""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.lsh import deal, join, join_room

RUN = 1024  # pairs whose parents are looked up before any is united


def unite(keys: np.ndarray, empty: np.ndarray, parents: np.ndarray, room: np.ndarray | None = None) -> None:
    """Unite the rows that share one band's key, in place.

    keys: uint64 (rows), contiguous, spread evenly, as hashes are; rows marked in `empty`, bool (rows), stay
    alone. Memory beside the arguments: 8 bytes a row, or none with `room`, uint64 (rows), which spares a
    caller with many bands a new array for each. Cost: 37 ns a row at 10 million rows, reading them from disk
    included (benchmarks/results/dedup_scale.md).
    """
    _unite(keys, *deal(keys, empty, room), parents)


@compiled
def _unite(keys: np.ndarray, starts: np.ndarray, entries: np.ndarray, parents: np.ndarray) -> None:
    table, followers, firsts = join_room(starts)
    for part in range(starts.size - 1):
        count = join(keys, entries[starts[part] : starts[part + 1]], table, followers, firsts)
        unite_pairs(followers[:count], firsts[:count], parents)


@compiled
def unite_pairs(a: np.ndarray, b: np.ndarray, parents: np.ndarray) -> None:
    """Unite row a[i] with row b[i], for all i, in place. a, b: integers (pairs), each below parents.size."""
    left, right = np.empty(RUN, np.uint32), np.empty(RUN, np.uint32)
    for first in range(0, a.size, RUN):
        apart = 0
        for i in range(first, min(first + RUN, a.size)):  # no step waits for another: memory is read at once
            x, y = parents[a[i]], parents[b[i]]
            left[apart], right[apart] = x, y
            apart += x != y
        for i in range(apart):
            x, y = root(parents, left[i]), root(parents, right[i])
            parents[max(x, y)] = min(x, y)


@compiled
def root(parents: np.ndarray, row: np.uint32) -> np.uint32:
    """Return the root of a row's tree, and halve the path to it."""
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


@compiled
def flatten(parents: np.ndarray) -> None:
    """Turn the forest, in place, into labels: the smallest row of each row's component."""
    for row in range(parents.size):  # ascending: the parent, never a later row, has its label already
        parents[row] = parents[parents[row]]
