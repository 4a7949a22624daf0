"""A stand-in for cudf on machines without a GPU: pandas, less what cudf refuses.

Everything that would move a column to the host by stealth raises, as cudf does: iteration, apply,
conversion to numpy or Arrow that nobody asked for. Only to_arrow, to_pandas and from_arrow cross over.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types
from typing import Any

import pandas as pd
import pyarrow as pa


def _refuse(what: str) -> Any:
    def no(self: Any, *arguments: Any, **named: Any) -> Any:
        raise TypeError(f"cudf has no {what}")

    return no


class Series(pd.Series):
    """A column that stays on its device."""

    __iter__ = _refuse("iteration over a column")
    apply = _refuse("apply of a Python function")
    map = _refuse("map of a Python function")
    tolist = to_list = _refuse("tolist")
    __arrow_array__ = _refuse("implicit conversion to Arrow")
    to_numpy = _refuse("implicit conversion to numpy here")

    @property
    def _constructor(self) -> Any:
        return Series

    @property
    def _constructor_expanddim(self) -> Any:
        return DataFrame

    def to_pandas(self) -> pd.Series:
        return pd.Series(self)

    def to_arrow(self) -> pa.Array:
        return pa.array(pd.Series(self), from_pandas=True)


class DataFrame(pd.DataFrame):
    """A frame that stays on its device."""

    apply = _refuse("apply of a Python function")
    iterrows = _refuse("iterrows")
    itertuples = _refuse("itertuples")
    map = _refuse("map of a Python function")
    to_numpy = _refuse("implicit conversion to numpy")

    @property
    def _constructor(self) -> Any:
        return DataFrame

    @property
    def _constructor_sliced(self) -> Any:
        return Series

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame(self)

    def to_arrow(self, preserve_index: bool = True) -> pa.Table:
        table = pa.Table.from_pandas(pd.DataFrame(self), preserve_index=preserve_index)
        return table.replace_schema_metadata()

    @staticmethod
    def from_arrow(table: pa.Table) -> DataFrame:
        from curator import frames

        if any(pa.types.is_fixed_size_list(kind) for kind in table.schema.types):
            raise TypeError("cudf has no fixed-size lists")
        return DataFrame(frames.from_arrow(table))


def module(name: str, **content: Any) -> types.ModuleType:
    """Return a module that import and find_spec accept."""
    made = types.ModuleType(name)
    made.__spec__ = importlib.machinery.ModuleSpec(name, None)
    made.__dict__.update(content)
    return made


def install(setitem: Any) -> None:
    """Put the stand-ins for cudf, dask_cuda and cupy in sys.modules through `setitem` (monkeypatch.setitem)."""
    for kind in (Series, DataFrame):
        kind.__module__ = "cudf.core"
    runtime = types.SimpleNamespace(getDeviceCount=lambda: 1)
    cupy = module("cupy", cuda=types.SimpleNamespace(runtime=runtime))
    cudf = module("cudf", Series=Series, DataFrame=DataFrame)
    for name, made in {"cudf": cudf, "cupy": cupy, "dask_cuda": module("dask_cuda")}.items():
        setitem(sys.modules, name, made)
