"""Intervals that hold where a mean's standard error does not: few items, shares near 0 or 1."""

from __future__ import annotations

import math

import numpy as np

Z = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson(count: float, of: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson 1927, JASA 22:209)."""
    share, scale = count / of, 1 + Z**2 / of
    middle = (share + Z**2 / (2 * of)) / scale
    half = Z * math.sqrt(share * (1 - share) / of + Z**2 / (4 * of**2)) / scale
    return (0.0 if not count else middle - half), (1.0 if count == of else middle + half)


def bootstrap(
    values: np.ndarray, seed: int, draws: int = 10_000, weights: np.ndarray | None = None
) -> tuple[float, float]:
    """Return the 95 % percentile interval of a (weighted) mean over items, drawn anew with replacement (Efron 1979).

    values, weights: float64 (items,); an item is drawn with its weight. The same for the same values and seed. Cost:
    draws * items numbers; 0.1 s for 1,000 items.
    """
    dice, rows = np.random.default_rng(seed), max(1, 1_000_000 // len(values))
    means = []
    for begin in range(0, draws, rows):
        drawn = dice.integers(0, len(values), (min(rows, draws - begin), len(values)))
        if weights is None:
            means.append(values[drawn].mean(1))
        else:
            means.append((values * weights)[drawn].sum(1) / weights[drawn].sum(1))
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return float(low), float(high)
