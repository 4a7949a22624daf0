"""Unit vectors in fixed point: their dot products are exact, so no order of summation can change a bit.

Components are multiples of 2^-24, which float32 holds exactly up to 1. A product of two is a multiple of
2^-48, and by Cauchy and Schwarz no partial sum of the dot product of two unit vectors leaves [-2, 2]: float64
holds every intermediate value, and a matrix product gives the same bits by any library, in any blocking,
with any number of threads. So do sums of fewer than 2^28 vectors. The price is an error of a cosine of about
1e-8, at most 2^-24 x sqrt(dimensions) (2e-6 for 1024).
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.kernels.bits import compiled, mix64

SCALE = float(1 << 24)
NONE = -1
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


@compiled
def first_kept(similar: np.ndarray, limit: float) -> np.ndarray:
    """Return for each row of a square matrix float32 the first earlier row that is kept and similar, or NONE.

    A row is kept where there is none: the witness rule, in the order of the rows.
    """
    witness = np.full(similar.shape[0], NONE, np.int64)
    for row in range(similar.shape[0]):
        for earlier in range(row):
            if similar[row, earlier] >= limit and witness[earlier] == NONE:
                witness[row] = earlier
                break
    return witness


@compiled
def draws(seed: int, count: int) -> np.ndarray:
    """Return `count` pseudo-random uint64, a function of `seed` and place alone."""
    made = np.empty(count, np.uint64)
    start = mix64(np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15))
    for i in range(count):
        made[i] = mix64(start + np.uint64(i))
    return made
