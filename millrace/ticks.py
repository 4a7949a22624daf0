"""Round values along an axis."""

from __future__ import annotations

import math


def ticks(low: float, high: float, log: bool, most: int = 5) -> list[float]:
    """Return round values within [low, high] (logarithms where `log`, and then values as they are)."""
    if log:
        powers = [10.0**p for p in range(math.ceil(low), math.floor(high) + 1)]
        if len(powers) >= 2:
            return powers[:: max(1, math.ceil(len(powers) / most))]
        fine = [m * 10.0**p for p in range(math.floor(low), math.ceil(high) + 1) for m in (1, 2, 5)]
        return [v for v in fine if low <= math.log10(v) <= high]
    raw = (high - low) / most
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(m * scale for m in (1, 2, 5, 10) if m * scale >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]
