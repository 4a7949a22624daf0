"""Unit vectors in fixed point: their dot products are exact, so no order of summation can change a bit.

Components are multiples of 2^-24, which float32 holds exactly up to 1. A product of two is a multiple of
2^-48, and by Cauchy and Schwarz no partial sum of the dot product of two unit vectors leaves [-2, 2]: float64
holds every intermediate value, and a matrix product gives the same bits by any library, in any blocking,
with any number of threads. So do sums of fewer than 2^28 vectors. The price is an error of a cosine of about
1e-8, at most 2^-24 x sqrt(dimensions) (2e-6 for 1024).

A product in float32, twice as quick, is within `rough_error` of the exact one, however it is summed (Higham,
Accuracy and Stability of Numerical Algorithms, section 3.1). So it rules out nearly all pairs, and what it
leaves in doubt is computed exactly: same results, by half the work.
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.kernels.bits import compiled, mix64

SCALE = float(1 << 24)
NONE = -1
ROUNDING = 2.0**-24  # of float32
UNIT, ZERO, BROKEN = 0, 1, 2  # states of a row


def unit_lists(array: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return (unit vectors as lists of float32, states uint8) of lists of float32.

    A missing vector, an empty one and one of zeros is null, state ZERO; so is one that holds a null, NaN or
    infinity, state BROKEN.
    """
    array = array.cast(pa.large_list(pa.float32()))
    starts = array.offsets.to_numpy()
    flat = pc.fill_null(array.values, math.nan).to_numpy()
    made, state = unit(starts, flat, array.is_valid().to_numpy(zero_copy_only=False))
    offsets = pa.array(starts - starts[0]) if len(starts) else pa.array([0], pa.int64())
    return pa.LargeListArray.from_arrays(offsets, pa.array(made), mask=pa.array(state != UNIT)), state


def unit_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (unit vectors float32 (n, d), states uint8 (n,)) of the rows of a float matrix (n, d)."""
    starts = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
    made, state = unit(starts, rows.ravel(), np.ones(len(rows), np.bool_))
    return made.reshape(rows.shape), state


@compiled
def unit(starts: np.ndarray, flat: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale each vector flat[starts[i] : starts[i + 1]] to length 1 and round it; see `unit_lists`."""
    first = starts[0] if starts.size else 0
    made = np.zeros((starts[-1] if starts.size else 0) - first, np.float32)
    state = np.full(valid.size, ZERO, np.uint8)
    for row in range(valid.size):
        if not valid[row]:
            continue
        square = 0.0
        for i in range(starts[row], starts[row + 1]):
            square += np.float64(flat[i]) * np.float64(flat[i])
        if not math.isfinite(square):
            state[row] = BROKEN
        elif square > 0.0:
            state[row] = UNIT
            norm = math.sqrt(square)
            for i in range(starts[row], starts[row + 1]):
                made[i - first] = np.float32(np.rint(np.float64(flat[i]) / norm * SCALE) / SCALE)
    return made, state


@compiled
def add_rows(rows: np.ndarray, labels: np.ndarray, sums: np.ndarray) -> None:
    """Add each row of a float32 matrix (n, d) to the row of `sums` float64 (k, d) that its label names."""
    for row in range(labels.size):
        label = labels[row]
        for i in range(rows.shape[1]):
            sums[label, i] += np.float64(rows[row, i])


def rough_error(dimensions: int) -> float:
    """Return how far a dot product of two unit vectors in float32 is from the exact one, at most."""
    return (dimensions + 8) * ROUNDING  # 8: lengths a little above 1, and the bound's own rounding


@compiled
def dot(a: np.ndarray, b: np.ndarray) -> float:
    """Return the exact dot product of two unit vectors."""
    s = t = u = v = 0.0
    whole = a.size - a.size % 4
    for i in range(0, whole, 4):
        s += np.float64(a[i]) * np.float64(b[i])
        t += np.float64(a[i + 1]) * np.float64(b[i + 1])
        u += np.float64(a[i + 2]) * np.float64(b[i + 2])
        v += np.float64(a[i + 3]) * np.float64(b[i + 3])
    for i in range(whole, a.size):
        s += np.float64(a[i]) * np.float64(b[i])
    return s + t + u + v


@compiled
def nearest(rows: np.ndarray, centroids: np.ndarray, rough: np.ndarray, error: float) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row the centroid of highest exact cosine, of equal ones the first, and that cosine.

    rough: float32 (rows, centroids), cosines wrong by at most `error`.
    """
    labels, similarity = np.empty(len(rows), np.int64), np.full(len(rows), -np.inf)
    for row in range(len(rows)):
        floor = rough[row].max() - 2.0 * error
        for centroid in range(len(centroids)):
            if rough[row, centroid] >= floor:
                exact = dot(rows[row], centroids[centroid])
                if exact > similarity[row]:
                    labels[row], similarity[row] = centroid, exact
    return labels, similarity


@compiled
def first_near(
    rows: np.ndarray, kept: np.ndarray, rough: np.ndarray, error: float, limit: np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row the first of the kept ones whose cosine in float32 reaches the limit, and the cosine.

    rough: float32 (rows, kept), cosines wrong by at most `error`. (NONE, NaN) where there is none.
    """
    place, similarity = np.full(len(rows), NONE, np.int64), np.full(len(rows), np.nan, np.float32)
    floor = np.float64(limit) - 2.0 * error  # one error, and the rounding of the exact cosine to float32
    for row in range(len(rows)):
        for other in range(len(kept)):
            if rough[row, other] >= floor:
                cosine = rounded(dot(rows[row], kept[other]))
                if cosine >= limit:
                    place[row], similarity[row] = other, cosine
                    break
    return place, similarity


@compiled
def first_kept(rows: np.ndarray, rough: np.ndarray, error: float, limit: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Do as `first_near` among the rows themselves, in order: a row for which there is none is kept.

    rough: float32 (rows, rows).
    """
    place, similarity = np.full(len(rows), NONE, np.int64), np.full(len(rows), np.nan, np.float32)
    floor = np.float64(limit) - 2.0 * error
    for row in range(len(rows)):
        for other in range(row):
            if place[other] == NONE and rough[row, other] >= floor:
                cosine = rounded(dot(rows[row], rows[other]))
                if cosine >= limit:
                    place[row], similarity[row] = other, cosine
                    break
    return place, similarity


@compiled
def rounded(cosine: float) -> np.float32:
    """Return a cosine as it is compared and recorded: float32, at most 1, which rounding may exceed by 1e-6."""
    return np.float32(min(cosine, 1.0))


@compiled
def draws(seed: int, count: int) -> np.ndarray:
    """Return `count` pseudo-random uint64, a function of `seed` and place alone."""
    made = np.empty(count, np.uint64)
    start = mix64(np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15))
    for i in range(count):
        made[i] = mix64(start + np.uint64(i))
    return made
