"""Bins for a histogram, chosen by the values and limits alone, so that equal runs give equal pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from curator.report.spread import Spread, quantile

BINS = 40
EACH = 32  # up to so many different whole numbers, each has its own bin
EXACT = 1024  # whole numbers up to here are told apart by a spread
TAIL = 0.005  # share of the values at either end that may lie off the axis
APART = 0.2  # from this share on, values of exactly 0 are told in words: their bar would dwarf the others
STRETCH = 10.0  # a limit is drawn if the axis grows at most so many times for it


@dataclass(frozen=True)
class Bins:
    """A histogram, ready to draw. What lies off the axis is counted in the first and the last bin."""

    edges: np.ndarray  # (bins + 1,) float64; the logarithms of values where `log`
    inside: np.ndarray  # (bins,) int64, values no limit rejects
    beyond: np.ndarray  # (bins,) int64
    log: bool
    each: bool  # a bin is a whole number, in the middle of its edges
    zeros: int | None  # values of exactly 0, where they are left out of the bins
    under: int  # values off the axis
    over: int

    def place(self, value: float) -> float | None:
        """Return where a value lies on the axis, 0 to 1; None: off it."""
        if self.log and value <= 0:
            return None
        at = math.log10(value) if self.log else value
        share = (at - self.edges[0]) / (self.edges[-1] - self.edges[0])
        return float(share) if 0 <= share <= 1 else None


def bins(spread: Spread) -> Bins | None:
    """Return the histogram of a spread; None where nothing was measured."""
    values, inside, beyond = spread.table()
    if not len(values):
        return None
    zeros = None
    zero = values == 0
    at_zero = int((inside + beyond)[zero].sum())
    if not zero.all() and not spread.whole and at_zero >= APART * spread.values and not beyond[zero].any():
        zeros = at_zero
        values, inside, beyond = values[~zero], inside[~zero], beyond[~zero]
    each = spread.whole and values[-1] - values[0] <= EACH and values[-1] <= EXACT
    log = spread.whole and not each and values[0] >= 0
    low, high = _each(spread, values) if each else _range(spread, values, inside + beyond, log)
    edges = np.linspace(low, high, round(high - low) + 1 if each else BINS + 1)
    at = np.log10(np.maximum(values, 10.0 ** (low - 1))) if log else values
    bin_of = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, len(edges) - 2)
    filled = [np.bincount(bin_of, weights=c, minlength=len(edges) - 1).astype(np.int64) for c in (inside, beyond)]
    total = inside + beyond
    return Bins(
        edges,
        filled[0],
        filled[1],
        log,
        each,
        zeros,
        int(total[at < edges[0]].sum()),
        int(total[at > edges[-1]].sum()),
    )


def _each(spread: Spread, values: np.ndarray) -> tuple[float, float]:
    near = [limit.value for limit in spread.limits if abs(limit.value - values[0]) <= EACH]
    return math.floor(min([values[0], *near])) - 0.5, math.ceil(max([values[-1], *near])) + 0.5


def _range(spread: Spread, values: np.ndarray, counts: np.ndarray, log: bool) -> tuple[float, float]:
    """Return the ends of the axis: all but the tails of the values, and the limits within reach."""
    low, high = quantile(values, counts, TAIL), quantile(values, counts, 1 - TAIL)
    limits = [limit.value for limit in spread.limits]
    if log:
        reach = [math.log10(v) for v in (max(low, 1.0), max(high, 1.0), *(v for v in limits if v >= 1))]
        return min(reach) - 0.05, max(reach) + 0.05
    share = values[0] >= 0 and values[-1] <= 1 and all(0 <= v <= 1 for v in limits)
    if 0 <= low < 0.25 * high:
        low = 0.0
    span = (high - low) or abs(high) or 1.0
    for value in limits:
        if share or low - STRETCH * span <= value <= high + STRETCH * span:
            low, high = min(low, value - 0.1 * span), max(high, value + 0.1 * span)
    if values[0] >= 0:
        low = max(low, 0.0)
    if share:
        high = min(high, 1.0)
    return (low, high) if high > low else (low - 0.5 * span, high + 0.5 * span)
