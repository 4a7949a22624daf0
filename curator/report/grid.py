"""The values a limit can be moved to in the report: few, round, and the run's own among them."""

from __future__ import annotations

import math

import numpy as np

from curator.report.spread import Spread, quantile
from millrace.ticks import ticks

MOST = 100  # values of one limit; a position then fits a byte, with room for `not measured`
UNMEASURED = 255  # position of a document without the value
QUANTILES = [n / 40 for n in (20, 10, 30, *range(5, 40, 10), *range(2, 40, 5), *range(1, 40))]  # coarse ones first
AROUND = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.05, 1.1, 1.25, 1.5, 1.75, 2.0)  # times the run's limit
STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)  # of each power of ten, where values span several


def grid(spread: Spread, current: float, whole: bool) -> np.ndarray:
    """Return the values of a slider, float64 ascending, at most MOST: `current` exactly, values at which the rule
    drops nothing and everything, round values, and quantiles of the signal. `whole`: whole numbers alone."""
    values, inside, beyond = spread.table()
    wanted: dict[float, None] = {float(current): None}
    if len(values):
        counts = inside + beyond
        low, high = quantile(values, counts, 0.001), quantile(values, counts, 0.999)
        ends = (_outward(float(values[0]), down=True), _outward(float(values[-1]), down=False))
        round_ = ticks(low, high, False, 15) if high > low else []
        if low >= 0 and high > 30 * max(low, 1e-9) and high > 30:
            powers = range(math.floor(math.log10(max(low, 1.0))), math.ceil(math.log10(high)) + 1)
            round_ += [step * 10.0**power for power in powers for step in STEPS if low <= step * 10.0**power <= high]
        near = [current * times for times in AROUND]
        found = [_rounded(quantile(values, counts, share)) for share in QUANTILES]
        for value in (*ends, *round_, *(_rounded(v) for v in near), *found):
            wanted.setdefault(float(round(value)) if whole else value + 0.0)
    return np.array(sorted(list(wanted)[:MOST]), np.float64)


def positions(values: np.ndarray, limits: np.ndarray, below: bool) -> np.ndarray:
    """Return where values lie among ascending limits, uint8 (rows); UNMEASURED where NaN.

    Limit number i rejects a value at position p if p <= i where values below it are rejected, else if p > i.
    """
    place = np.searchsorted(limits, values, side="right" if below else "left")
    return np.where(np.isnan(values), UNMEASURED, place).astype(np.uint8)


def _rounded(value: float) -> float:
    """Return three significant digits of a value."""
    return float(f"{value:.3g}")


def _outward(value: float, down: bool) -> float:
    """Round to two digits, away from the values, which a spread knows to one part in 1024."""
    if value == 0 or not math.isfinite(value):
        return 0.0 if value == 0 else value
    if (value < 0) == down:
        value *= 1 + 2**-10
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(f"{(math.floor if down else math.ceil)(value / unit) * unit:.6g}")
