"""The witness rule for cosine similarity: a vector goes if and only if one that stays is close enough."""

from __future__ import annotations

import numpy as np

from curator.kernels import vectors

BLOCK = 512  # rows that are decided together
STRIP = 4096  # kept rows that a block is compared with at once: 8 MB


def witness_rule(rows: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Decide which rows, float32 (n, d) unit vectors in keep order, stay.

    A row goes if and only if its cosine, rounded to float32, to an earlier row that stays is at least
    `threshold`. Returns (witness int64 (n,): the first such row, -1 where it stays; similarity float32 (n,):
    the cosine to it, NaN where it stays). Cosines are exact before they are rounded, so the result depends on
    no blocking. Cost: n x kept x d operations in float32, and few exact ones; memory beside the rows 8 MB and
    16 KB a dimension.
    """
    limit, error = _at_least(threshold), vectors.rough_error(rows.shape[1])
    witness, similarity = np.full(len(rows), vectors.NONE), np.full(len(rows), np.nan, np.float32)
    stays = np.empty(len(rows), np.int64)  # the kept rows so far
    kept = 0
    for start in range(0, len(rows), BLOCK):
        left = np.arange(start, min(start + BLOCK, len(rows)))  # rows without a witness
        for first in range(0, kept, STRIP):
            earlier = stays[first : min(first + STRIP, kept)]
            a, b = rows[left], rows[earlier]
            place, cosine = vectors.first_near(a, b, a @ b.T, error, limit)
            left = _found(left, earlier, place, cosine, witness, similarity)
        a = rows[left]
        place, cosine = vectors.first_kept(a, a @ a.T, error, limit)
        left = _found(left, left, place, cosine, witness, similarity)
        stays[kept : kept + len(left)] = left
        kept += len(left)
    return witness, similarity


def _found(
    left: np.ndarray,
    earlier: np.ndarray,
    place: np.ndarray,
    cosine: np.ndarray,
    witness: np.ndarray,
    similarity: np.ndarray,
) -> np.ndarray:
    """Record the witnesses found among `earlier`; return the rows that are still without one."""
    found = place != vectors.NONE
    witness[left[found]], similarity[left[found]] = earlier[place[found]], cosine[found]
    rest: np.ndarray = left[~found]
    return rest


def _at_least(threshold: float) -> np.float32:
    """Return the smallest float32 that is no less."""
    near = np.float32(threshold)
    return near if float(near) >= threshold else np.nextafter(near, np.float32(np.inf))
