"""Two models on the same items: the difference, and whether chance would make as large a one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.config import did_you_mean
from serve.errors import ServeSettingsError
from serve.evaluate.interval import bootstrap
from serve.evaluate.results import Results, asked, identity
from serve.evaluate.task import Result

DRAWS, SEED = 10_000, 0


@dataclass(frozen=True)
class Difference:
    """The first model's measure less the second's."""

    value: float
    low: float  # 95 % of the bootstrap's differences lie between
    high: float
    better: int  # items on which the first is better; of a measure without merit, more
    worse: int
    p: float  # two-sided, of `test`
    test: str  # "McNemar": items are right or wrong; "sign": else
    items: int
    merit: bool = True  # one of the two is better; not of a length


@dataclass(frozen=True)
class Asked:
    """What makes two results comparable."""

    task: str
    settings: Mapping[str, Any]
    files: Mapping[str, str]
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
        refuse(label, asked_of(ours.tasks[label]), asked_of(theirs.tasks[label]))
    return {label: differences(ours.tasks[label], theirs.tasks[label]) for label in shared}


def differences(ours: Result, theirs: Result, draws: int = DRAWS, seed: int = SEED) -> dict[str, Difference]:
    """Return how two results of one task differ, by measure: those that have a value of each item.

    Measures of groups (acc/SUBJECT) have none."""
    names = [name for name in ours.values if name in theirs.values and name in ours.measures]
    return {name: _difference(name, ours, theirs, draws, seed) for name in names}


def _difference(name: str, ours: Result, theirs: Result, draws: int, seed: int) -> Difference:
    apart = ours.values[name] - theirs.values[name]
    weight = ours.weights.get(name)
    low, high = bootstrap(apart, seed, draws, weight)
    merit = ours.measures[name].higher_is_better
    sign = -1 if merit is False else 1
    better, worse = int((sign * apart > 0).sum()), int((sign * apart < 0).sum())
    binary = {*np.unique(ours.values[name]), *np.unique(theirs.values[name])} <= {0.0, 1.0}
    value = float(np.average(apart, weights=weight))
    return Difference(
        value, low, high, better, worse, coin(better, worse), "McNemar" if binary else "sign", len(apart),
        merit is not None,
    )  # fmt: skip


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


def asked_of(result: Result) -> Asked:
    """Return what a result is of."""
    return Asked(result.task, result.settings, result.files, result.items)


def refuse(label: str, ours: Asked, theirs: Asked) -> None:
    """Raise ServeSettingsError for two that are not of the same items, in the same order, asked the same way."""
    mine, other = asked(ours.settings), asked(theirs.settings)
    apart = [name for name in mine if mine[name] != other.get(name)]
    if ours.task != theirs.task or apart:
        name = apart[0] if apart else "task"
        said = (mine[name], other.get(name)) if apart else (ours.task, theirs.task)
        raise ServeSettingsError(
            f"{label} was run with {name} {said[0]!r} and {said[1]!r}: run both with the same settings"
        )
    if identity(ours.files) != identity(theirs.files) or ours.items != theirs.items:
        raise ServeSettingsError(
            f"{label} was run on other files, or in another order ({_listed(ours)} and {_listed(theirs)}): items are "
            "compared one by one, so run both on the same"
        )


def _listed(one: Asked) -> str:
    return ", ".join(f"{name} {sum_[:8]}" for name, sum_ in one.files.items())
