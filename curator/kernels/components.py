"""Connected components by union-find."""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import compiled


@compiled
def find(parents: np.ndarray, x: int) -> int:
    while parents[x] != x:
        parents[x] = parents[parents[x]]
        x = parents[x]
    return x


@compiled
def unite_pairs(a: np.ndarray, b: np.ndarray, parents: np.ndarray) -> None:
    for i in range(a.size):
        x, y = find(parents, a[i]), find(parents, b[i])
        if x < y:
            parents[y] = x
        elif y < x:
            parents[x] = y


@compiled
def flatten(parents: np.ndarray) -> None:
    for i in range(parents.size):
        parents[i] = parents[parents[i]]
