"""A run of a flattened array as boxes of the array.

The distributed optimizer holds, of each parameter, a run of its flattened numbers. As boxes these have a
place in the global tensor, whichever way the next run of the program cuts it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

Box = tuple[tuple[int, ...], tuple[int, ...]]  # offsets, lengths; both one number an axis


def boxes(shape: tuple[int, ...], start: int, stop: int) -> Iterator[Box]:
    """Yield the boxes that hold numbers start to stop of a row-major array, in this order.

    At most 2 x axes - 1 of them. ((4, 5), 3, 16) -> row 0 from 3, rows 1 and 2, row 3 up to 1.
    """
    if start >= stop:
        return
    if len(shape) < 2:
        yield ((start,), (stop - start,)) if shape else ((), ())
        return
    row = math.prod(shape[1:])
    first, last = -(-start // row), stop // row  # whole rows
    if first > last:  # all within one row
        yield from _within(shape, last, start, stop)
        return
    yield from _within(shape, first - 1, start, first * row)
    if first < last:
        yield (first, *(0 for _ in shape[1:])), (last - first, *shape[1:])
    yield from _within(shape, last, last * row, stop)


def _within(shape: tuple[int, ...], number: int, start: int, stop: int) -> Iterator[Box]:
    begin = number * math.prod(shape[1:])
    for offsets, lengths in boxes(shape[1:], start - begin, stop - begin):
        yield (number, *offsets), (1, *lengths)
