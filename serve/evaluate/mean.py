"""Means over items, and their standard errors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from serve.evaluate.interval import wilson
from serve.evaluate.task import Measure


def mean(values: Sequence[float] | np.ndarray, higher_is_better: bool | None = True) -> Measure:
    """Return the mean of items and its standard error: the sample's standard deviation (n - 1) over the root of n.

    One item has no error. Sums are plain Python, in the items' order: the last bit is that of a plain loop.
    """
    found = [float(one) for one in values]
    middle = sum(found) / len(found)
    if len(found) < 2:
        return Measure(middle, None, higher_is_better)
    deviation = math.sqrt(sum((one - middle) ** 2 for one in found) / (len(found) - 1))
    return Measure(middle, deviation / math.sqrt(len(found)), higher_is_better)


def share(values: Sequence[float] | np.ndarray, higher_is_better: bool = True) -> Measure:
    """Return the mean of numbers from 0 to 1; where it is 0 or 1, with Wilson's interval: 0 of 10 is not 0 +- 0."""
    found = mean(values, higher_is_better)
    if found.value in (0.0, 1.0):
        return dataclasses.replace(found, interval=wilson(found.value * len(values), len(values)))
    return found


def ratio(totals: np.ndarray, sizes: np.ndarray, higher_is_better: bool = False) -> Measure:
    """Return the sum of totals over the sum of sizes, and the standard error of that ratio over items.

    The error is that of a ratio of means to first order (Cochran 1977, section 2.11): items are drawn, and their
    sizes with them.
    """
    value = float(totals.sum() / sizes.sum())
    if len(totals) < 2:
        return Measure(value, None, higher_is_better)
    rest = totals - value * sizes
    error = math.sqrt(len(totals) / (len(totals) - 1) * float((rest**2).sum())) / float(sizes.sum())
    return Measure(value, error, higher_is_better)
