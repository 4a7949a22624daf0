"""The GPU versions of the contracts. Those that are missing go through Arrow to the CPU, and are counted."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from curator import frames
from curator.kernels import CONTRACTS, cpu, fallback
from curator.stage import Column, Frame


def through_cpu(name: str) -> Callable[..., Frame]:
    """Return a version of the contract `name` that runs on the CPU and returns to the GPU."""

    @functools.wraps(getattr(cpu, name))
    def version(column: Column, *arguments: Any) -> Frame:
        host = frames.column_to_arrow(column)
        result = frames.to_arrow(getattr(cpu, name)(frames.from_arrow(host_table(host))["column"], *arguments))
        fallback.add(host.nbytes + result.nbytes)
        return frames.like(column, {n: result[n] for n in result.column_names})

    return version


def host_table(array: Any) -> Any:
    import pyarrow as pa

    return pa.table({"column": array})


def __getattr__(name: str) -> Any:
    if name in CONTRACTS:
        return through_cpu(name)
    raise AttributeError(name)
