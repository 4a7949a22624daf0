"""Type names of columns, and the Arrow and numpy types they stand for."""

from __future__ import annotations

import functools

import pyarrow as pa

TYPES = {
    "bool": pa.bool_(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "string": pa.large_string(),
    "binary": pa.large_binary(),
}


@functools.cache
def arrow_type(name: str) -> pa.DataType:
    """Return the Arrow type of a type name; list<x> is a large list."""
    if name.startswith("list<"):
        return pa.large_list(arrow_type(name[5:-1]))
    return TYPES[name]


def arrow_schema(columns: dict[str, str]) -> pa.Schema:
    """Return the Arrow schema of columns given as name -> type name."""
    return pa.schema([(name, arrow_type(kind)) for name, kind in columns.items()])
