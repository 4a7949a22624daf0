"""What float16 cannot hold, said before a folder is written in it."""

from __future__ import annotations

import math

from serve.errors import ExportError
from serve.export.selftest import chunks
from serve.export.source import Source

LARGEST = 65_504.0  # of float16; from 65,520 on a number becomes infinite
_INFINITE = 65_520.0


def require(source: Source, dtype: str) -> None:
    """Raise ExportError where a weight of a source would be infinite in `dtype`; NaN and infinity are left alone.

    Only float16 is that small. Cost: where the source is wider, every tensor is read once, some rows at a time.
    """
    if dtype != "float16":
        return
    for name, shape in source.shapes.items():
        if source.dtypes[name] == dtype:
            continue
        for bounds in chunks(shape):
            low, high = source.part(name, *bounds).aminmax()
            top = max(-float(low), float(high))
            if math.isfinite(top) and top >= _INFINITE:
                raise ExportError(
                    f"{name} has numbers up to {top:,.0f}, and float16 holds {LARGEST:,.0f} at most: take bfloat16"
                )
