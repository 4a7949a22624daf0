"""The witness rule for cosine similarity: a vector goes if and only if one that stays is close enough."""

from __future__ import annotations

import numpy as np

from curator.kernels import vectors

BLOCK = 512  # rows that are decided together
STRIP = 4096  # kept rows that a block is compared with at once: 28 MB


def witness_rule(rows: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Decide which rows, float32 (n, d) unit vectors in keep order, stay.

    A row goes if and only if its cosine, rounded to float32, to an earlier row that stays is at least
    `threshold`. Returns (witness int64 (n,): the first such row, -1 where it stays; similarity float32 (n,):
    the cosine to it, NaN where it stays). Cosines are exact before they are rounded, so the result depends on
    no blocking. Cost: n x kept x d operations; memory beside the rows 40 MB at 1024 dimensions, 64 at 4096.
    """
    limit = _at_least(threshold)
    witness, similarity = np.full(len(rows), vectors.NONE), np.full(len(rows), np.nan, np.float32)
    stays = np.empty(len(rows), np.int64)  # the kept rows so far
    kept = 0
    for start in range(0, len(rows), BLOCK):
        left = np.arange(start, min(start + BLOCK, len(rows)))  # rows without a witness
        for first in range(0, kept, STRIP):
            earlier = stays[first : min(first + STRIP, kept)]
            similar = _cosines(rows[left], rows[earlier])
            near = similar >= limit
            place = near.argmax(axis=1)
            found = near[np.arange(len(left)), place]
            witness[left[found]] = earlier[place[found]]
            similarity[left[found]] = similar[found, place[found]]
            left = left[~found]
        similar = _cosines(rows[left], rows[left])
        place = vectors.first_kept(similar, float(limit))
        found = place != vectors.NONE
        witness[left[found]] = left[place[found]]
        similarity[left[found]] = similar[found, place[found]]
        stays[kept : kept + int((~found).sum())] = left[~found]
        kept += int((~found).sum())
    return witness, similarity


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return float32 (len(a), len(b)): dot products, at most 1, which rounding may exceed by 1e-6."""
    exact = a.astype(np.float64) @ b.T.astype(np.float64)
    return np.minimum(exact, 1.0).astype(np.float32)


def _at_least(threshold: float) -> np.float32:
    """Return the smallest float32 that is no less."""
    near = np.float32(threshold)
    return near if float(near) >= threshold else np.nextafter(near, np.float32(np.inf))
