"""The loop that rounds rows of bfloat16 to E4M3, compiled: 16 bits in, 8 bits out, a row's scale beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


def _quantise(bits: np.ndarray, table: np.ndarray, made: np.ndarray, scales: np.ndarray) -> None:
    """Fill `made` (rows, columns) uint8 and `scales` (rows,) uint16 from `bits` (rows, columns) uint16.

    bits, scales: bfloat16. table: uint8 (65536,), what each bfloat16 is in E4M3. Quotients and scales are computed in
    float32 and rounded to bfloat16, to even, as torch does; a row of zeros has bfloat16's epsilon, 2^-7.
    """
    rows, columns = bits.shape
    raw = np.empty(columns, np.uint32)
    real = raw.view(np.float32)
    one = np.empty(1, np.uint32)
    scale = one.view(np.float32)
    for row in range(rows):
        top = np.uint16(0)
        for column in range(columns):
            top = max(top, np.uint16(bits[row, column] & np.uint16(0x7FFF)))
        one[0] = np.uint32(top) << np.uint32(16)
        scale[0] = scale[0] / np.float32(448.0)
        scales[row] = (one[0] + np.uint32(0x7FFF) + ((one[0] >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        if scales[row] == 0:
            scales[row] = np.uint16(0x3C00)
        one[0] = np.uint32(scales[row]) << np.uint32(16)
        divisor = scale[0]
        for column in range(columns):
            raw[column] = np.uint32(bits[row, column]) << np.uint32(16)
        for column in range(columns):
            real[column] = real[column] / divisor
        for column in range(columns):
            number = raw[column]
            number = (number + np.uint32(0x7FFF) + ((number >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
            made[row, column] = table[number]


quantise: Any = njit(nogil=True, cache=True, error_model="numpy")(_quantise)
