"""Arrow tables to frames and back: the type of a frame carries its device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from curator.stage import Column, Frame


def is_gpu(frame: Any) -> bool:
    """Tell whether a frame or column lies in GPU memory."""
    return type(frame).__module__.partition(".")[0] == "cudf"


def from_arrow(table: pa.Table, device: str = "cpu") -> Frame:
    """Return a pandas frame that shares the table's memory, or a copy on the GPU. Nulls stay nulls."""
    if device == "gpu":
        from curator.cluster import cudf

        return cudf().DataFrame.from_arrow(table)
    import pandas as pd

    return table.to_pandas(
        split_blocks=True, types_mapper=lambda kind: None if pa.types.is_large_string(kind) else pd.ArrowDtype(kind)
    )


def to_arrow(frame: Frame) -> pa.Table:
    """Return the frame's columns as one Arrow table in host memory, without the index."""
    if is_gpu(frame):
        return frame.to_arrow(preserve_index=False)
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()


def column_to_arrow(column: Column) -> pa.Array:
    """Return one column as one Arrow array in host memory; nulls stay null."""
    array = column.to_arrow() if is_gpu(column) else pa.array(column, from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array


def to_numpy(column: Column) -> np.ndarray:
    """Return one column of numbers as a host numpy array."""
    values: np.ndarray = (column.to_pandas() if is_gpu(column) else column).to_numpy()
    return values


def like(column: Column, values: dict[str, Any]) -> Frame:
    """Return host `values` (Arrow or numpy arrays by name) as a frame with the column's index and device."""
    table = pa.table(values)
    frame = from_arrow(table, "gpu" if is_gpu(column) else "cpu")
    frame.index = column.index
    return frame
