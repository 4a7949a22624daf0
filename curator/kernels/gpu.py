"""The GPU versions of the contracts. Those that are missing go through Arrow to the CPU, and are counted."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from curator import frames
from curator.kernels import CONTRACTS, cpu, cudf_minhash, fallback, signatures
from curator.stage import Column, Frame


def sketches(text: Column, sketch: str, shingles: str, width: int, size: int, seed: int) -> Frame:
    """Let cudf itself make its own sketches of characters; all others go through the CPU.

    Written from cudf 26.10's documentation; it has not run on a GPU yet.
    """
    if sketch not in ("cudf", "cudf64") or shingles != "characters":
        made: Frame = through_cpu("sketches")(text, sketch, shingles, width, size, seed)
        return made
    import cudf

    signatures.check(sketch, shingles, width, size)
    a, b, murmur_seed = cudf_minhash.parameters(size, seed, 64 if sketch == "cudf64" else 32)
    strings = text.fillna("").str
    call = strings.minhash64 if sketch == "cudf64" else strings.minhash
    return call(murmur_seed, cudf.Series(a), cudf.Series(b), width).to_frame(name="sketch")


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
