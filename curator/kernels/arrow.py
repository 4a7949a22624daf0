"""Arrow string columns as the flat buffers that compiled kernels read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.stage import Column


def buffers(column: Column) -> tuple[np.ndarray, np.ndarray]:
    """Return (offsets int64 (rows + 1), bytes uint8) of a column of strings. Missing text is empty.

    The bytes are shared with the column wherever its type allows; nothing may write to them.
    """
    return flatten(frames.column_to_arrow(column))


def each(column: Column) -> Iterator[memoryview]:
    """Yield the UTF-8 bytes of each string, without a copy. Missing text is empty."""
    offsets, data = buffers(column)
    view = memoryview(data)  # type: ignore[arg-type]
    return (view[start:stop] for start, stop in itertools.pairwise(offsets.tolist()))


def flatten(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return (offsets, bytes) of an Arrow array of strings; see `buffers`."""
    if not pa.types.is_large_string(array.type):
        array = array.cast(pa.large_string())
    if array.null_count:
        array = pc.fill_null(array, "")
    _, offsets, data = array.buffers()
    first = array.offset
    starts = np.frombuffer(offsets, np.int64)[first : first + len(array) + 1] if len(array) else np.zeros(1, np.int64)
    return starts, np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)
