"""Spherical k-means of unit vectors, the same bits on any machine and with any number of threads.

Vectors are those of `curator.kernels.vectors`, whose products and sums are exact; nothing here depends on
the order in which they are added.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from curator.kernels import vectors

CELLS = 1 << 21  # similarities that one block of rows has with all centroids: 8 MB
SEEDING_ROWS = 16  # rows a cluster that seeds are drawn from; seeding passes over them once a cluster
WEIGHT = float(1 << 30)  # units of 1 - cosine
TOLERANCE = 1e-3  # share of the inertia that an iteration must save, or it is the last


def centroids(rows: np.ndarray, clusters: int, iterations: int, seed: int) -> np.ndarray:
    """Return at most `clusters` centroids, float32 (k, d) unit vectors, of float32 (n, d) unit vectors, n > 0.

    Lloyd's iterations on the sphere (Dhillon and Modha 2001), seeded by greedy k-means++ (Arthur and
    Vassilvitskii 2007, section 5) on the first rows of a shuffle, 16 a cluster. An empty cluster takes the
    row that is farthest from its centroid. There are fewer centroids than asked where there are fewer distinct
    rows among those. Stops when an iteration lowers the inertia, the sum of 1 - cosine, by less than a thousandth.
    Cost: 2 n k d operations an iteration, 32 k^2 d (2 + log k) to seed.
    """
    order = np.argsort(vectors.draws(seed, len(rows)), kind="stable")
    made = _seeds(rows[order[: SEEDING_ROWS * clusters]], clusters, seed + 1)
    before = math.inf
    for _ in range(iterations):
        labels, similarity = nearest(rows, made)
        inertia = int(_units(similarity).sum())
        if inertia >= (1 - TOLERANCE) * before:
            break
        before = inertia
        made = _means(rows, labels, similarity, made)
    return made


def nearest(rows: np.ndarray, made: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row its centroid int64, of equal ones the first, and its cosine to it, float64, exact.

    Cost: 2 n k d operations in float32. Memory: 8 MB beside the results, or a row's cosines if they are more.
    """
    labels, similarity = np.empty(len(rows), np.int64), np.empty(len(rows))
    error = vectors.rough_error(rows.shape[1])
    step = max(1, CELLS // len(made))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        found = vectors.nearest(block, made, block @ made.T, error)
        labels[start : start + step], similarity[start : start + step] = found
    return labels, similarity


def _seeds(rows: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Choose the first row; then, of a few drawn with a chance in proportion to 1 - cosine to the nearest seed,
    the one that leaves the least of it."""
    wide = rows.astype(np.float64)
    trials = 2 + int(math.log(clusters))
    drawn = vectors.draws(seed, clusters * trials).reshape(clusters, trials)
    chosen, far = [0], _distances(wide, [0])[0]
    for draws in drawn[1:]:
        reached = np.cumsum(far)
        if not reached[-1]:
            break
        places = np.searchsorted(reached, draws % np.uint64(reached[-1]), side="right")
        left = np.minimum(_distances(wide, places), far)
        best = int(left.sum(axis=1).argmin())
        chosen.append(int(places[best]))
        far = left[best]
    return rows[chosen]


def _distances(wide: np.ndarray, places: Any) -> np.ndarray:
    """Return 1 - cosine of the rows at `places` to all, in units, int64 (places, rows),."""
    return _units(wide[places] @ wide.T)


def _units(similarity: np.ndarray) -> np.ndarray:
    """Return 1 - cosine in units of 2^-30, int64: their sums are exact."""
    units: np.ndarray = np.maximum(np.rint((1.0 - similarity) * WEIGHT), 0).astype(np.int64)
    return units


def _means(rows: np.ndarray, labels: np.ndarray, similarity: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the clusters' means as unit vectors; where a mean is zero, the centroid before."""
    sums = np.zeros(before.shape)
    vectors.add_rows(rows, labels, sums)
    made, state = vectors.unit_rows(sums)
    made[state != vectors.UNIT] = before[state != vectors.UNIT]
    empty = np.flatnonzero(np.bincount(labels, minlength=len(before)) == 0)
    farthest = np.argsort(similarity, kind="stable")[: len(empty)]
    made[empty[: len(farthest)]] = rows[farthest]
    return made
