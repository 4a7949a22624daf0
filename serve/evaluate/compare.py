"""Two models on the same items: the difference, and whether chance would make as large a one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from millrace.config import did_you_mean
from serve.errors import ServeSettingsError
from serve.evaluate.results import Results
from serve.evaluate.task import Result

DRAWS, SEED = 10_000, 0
CHUNK = 1 << 22  # numbers of a draw held at once


@dataclass(frozen=True)
class Difference:
    """The first model's measure less the second's."""

    value: float
    low: float  # 95 % of the bootstrap's differences lie between
    high: float
    better: int  # items on which the first is better
    worse: int
    p: float  # two-sided, of `test`
    test: str  # "McNemar": items are right or wrong; "sign": else
    items: int


def compare(ours: Results, theirs: Results) -> dict[str, dict[str, Difference]]:
    """Return, by label and measure, how two models differ on the tasks both have, on the same items.

    Raises ServeSettingsError where they share no task, or one was run on other files or with other settings.
    """
    shared = [label for label in ours.tasks if label in theirs.tasks]
    if not shared:
        near = did_you_mean(next(iter(ours.tasks), ""), theirs.tasks)
        raise ServeSettingsError(
            f"{ours.folder} and {theirs.folder} share no task: {', '.join(ours.tasks) or 'none'} against "
            f"{', '.join(theirs.tasks) or 'none'}.{near}"
        )
    for label in shared:
        _refuse(label, ours.tasks[label], theirs.tasks[label])
    return {label: differences(ours.tasks[label], theirs.tasks[label]) for label in shared}


def differences(ours: Result, theirs: Result, draws: int = DRAWS, seed: int = SEED) -> dict[str, Difference]:
    """Return how two results of one task differ, by measure: those that have a value of each item."""
    names = [name for name in ours.values if name in theirs.values and name in ours.measures]
    return {name: _difference(name, ours, theirs, draws, seed) for name in names}


def _difference(name: str, ours: Result, theirs: Result, draws: int, seed: int) -> Difference:
    apart = ours.values[name] - theirs.values[name]
    weight = ours.weights.get(name, np.ones(len(apart)))
    low, high = interval(apart, weight, draws, seed)
    sign = 1 if ours.measures[name].higher_is_better else -1
    better, worse = int((sign * apart > 0).sum()), int((sign * apart < 0).sum())
    binary = {*np.unique(ours.values[name]), *np.unique(theirs.values[name])} <= {0.0, 1.0}
    value = float((apart * weight).sum() / weight.sum())
    return Difference(
        value, low, high, better, worse, coin(better, worse), "McNemar" if binary else "sign", len(apart)
    )  # fmt: skip


def interval(apart: np.ndarray, weight: np.ndarray, draws: int = DRAWS, seed: int = SEED) -> tuple[float, float]:
    """Return where 95 % of the weighted means lie of items drawn anew with replacement (Efron 1979), percentiles.

    apart, weight: float64 (items,). Costs draws x items.
    """
    dice = np.random.default_rng(seed)
    step = max(1, CHUNK // len(apart))
    means = []
    for first in range(0, draws, step):
        drawn = dice.integers(0, len(apart), (min(step, draws - first), len(apart)))
        means.append((apart * weight)[drawn].sum(1) / weight[drawn].sum(1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


def coin(better: int, worse: int) -> float:
    """Return how likely a fair coin falls at least as unevenly: McNemar's exact test, and the sign test.

    coin(1, 5) -> 2 (1 + 6) / 64
    """
    tosses = better + worse
    if not tosses:
        return 1.0
    few = np.arange(min(better, worse) + 1)
    logs = [math.lgamma(tosses + 1) - math.lgamma(n + 1) - math.lgamma(tosses - n + 1) for n in few.tolist()]
    return min(1.0, float(2 * np.exp(np.array(logs) - tosses * math.log(2)).sum()))


def _refuse(label: str, ours: Result, theirs: Result) -> None:
    """Refuse results that are not of the same items, asked the same way."""
    if sorted(ours.files.values()) != sorted(theirs.files.values()) or ours.items != theirs.items:
        raise ServeSettingsError(
            f"{label} was run on other files: items are compared one by one, so run both on the same"
        )
    mine, other = (_asked(one.settings) for one in (ours, theirs))
    apart = [name for name in mine if mine[name] != other.get(name)]
    if ours.task != theirs.task or apart:
        name = apart[0] if apart else "task"
        said = (mine[name], other.get(name)) if apart else (ours.task, theirs.task)
        raise ServeSettingsError(
            f"{label} was run with {name} {said[0]!r} and {said[1]!r}: run both with the same settings"
        )


def _asked(settings: Mapping[str, object]) -> dict[str, object]:
    """Return the settings without where files lie; tuples as the lists that JSON has."""
    return {
        name: list(one) if isinstance(one, tuple) else one
        for name, one in settings.items() if name not in ("path", "examples")
    }  # fmt: skip
