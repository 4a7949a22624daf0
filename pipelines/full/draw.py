"""Chance without a state: a number for a text and a seed, the same on every machine."""

from __future__ import annotations

import xxhash


def drawn(text: str, seed: int) -> int:
    """Return a number below 2**64."""
    return xxhash.xxh3_64_intdigest(text.encode(), seed)


def among(text: str, seed: int, share: float) -> bool:
    """Tell whether a text is in the given share of all texts."""
    return drawn(text, seed) < share * 2.0**64
