"""Ranges of numbers in settings."""

from __future__ import annotations

import math
from typing import Any

from align.errors import AlignSettingsError

ABOVE = (math.nextafter(0, 1), math.inf)  # more than 0
BELOW_ONE = math.nextafter(1, 0)


def ranges(section: str, made: Any, **of: float | tuple[float, float]) -> None:
    """Raise AlignSettingsError where a field is outside its range: (least, most), or the least alone; None is open."""
    for name, given in of.items():
        least, most = given if isinstance(given, tuple) else (given, math.inf)
        value = getattr(made, name)
        if value is None or least <= value <= most:
            continue
        low = "more than 0" if least == ABOVE[0] else f"at least {least:g}"
        high = "" if most == math.inf else " and below 1" if most == BELOW_ONE else f" and at most {most:g}"
        raise AlignSettingsError(f"{section}.{name} is {value}; it must be {low}{high}")


def dual_clip(section: str, bound: float) -> None:
    """Raise AlignSettingsError for a dual clip that would bound what is not to be bounded."""
    if bound and bound <= 1:
        raise AlignSettingsError(
            f"{section}.dual_clip is {bound:g}; it must be 0, none, or more than 1 (Ye et al. 2020)"
        )
