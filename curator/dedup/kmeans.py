"""Spherical k-means of unit vectors, the same bits on any machine and with any number of threads.

Vectors are those of `curator.kernels.vectors`, whose products and sums are exact; nothing here depends on
the order in which they are added.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from curator.kernels import vectors

CELLS = 1 << 21  # similarities that one block of rows has with all centroids: 16 MB
SEEDING_ROWS = 16  # rows a cluster that seeds are drawn from; seeding passes over them once a cluster
WEIGHT = float(1 << 30)  # of a seed: 1 - cosine in units of 2^-30, whose sums are exact as integers


def centroids(rows: np.ndarray, clusters: int, iterations: int, seed: int) -> np.ndarray:
    """Return at most `clusters` centroids, float32 (k, d) unit vectors, of float32 (n, d) unit vectors, n > 0.

    Lloyd's iterations on the sphere (Dhillon and Modha 2001), seeded by greedy k-means++ (Arthur and
    Vassilvitskii 2007, section 5) on the first rows of a shuffle, 16 a cluster. An empty cluster takes the
    row that is farthest from its centroid. There are fewer centroids than asked where there are fewer distinct
    rows among those.
    Stops when no row changes its cluster. Cost: 2 n k d operations an iteration, 32 k^2 d (2 + log k) to seed.
    """
    order = np.argsort(vectors.draws(seed, len(rows)), kind="stable")
    made = _seeds(rows[order[: SEEDING_ROWS * clusters]], clusters, seed + 1)
    labels = np.full(len(rows), vectors.NONE)
    for _ in range(iterations):
        found, similarity = nearest(rows, made)
        if np.array_equal(found, labels):
            break
        labels = found
        made = _means(rows, labels, similarity, made)
    return made


def nearest(rows: np.ndarray, made: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row its centroid int64, of equal ones the first, and its cosine to it, float64, exact.

    Memory: 16 MB beside the results, or eight bytes a centroid where that is more.
    """
    labels, similarity = np.empty(len(rows), np.int64), np.empty(len(rows))
    across = made.T.astype(np.float64)
    step = max(1, CELLS // len(made))
    for start in range(0, len(rows), step):
        block = rows[start : start + step].astype(np.float64) @ across
        best = block.argmax(axis=1)
        labels[start : start + step] = best
        similarity[start : start + step] = block[np.arange(len(best)), best]
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
    """Return 1 - cosine of the rows at `places` to all, int64 (places, rows), in units of 2^-30."""
    units: np.ndarray = np.maximum(np.rint((1.0 - wide[places] @ wide.T) * WEIGHT), 0).astype(np.int64)
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
