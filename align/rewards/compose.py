"""The rewards of a run: made from its configuration, weighed and added up."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from align.errors import AlignSettingsError, RewardError
from align.rewards.check import checked, first_line, told
from align.rewards.reward import Completion, Reward
from millrace.config import build, convert, did_you_mean
from millrace.errors import ConfigError, MillraceError

KINDS = {
    "math": "align.rewards.math:Math", "format": "align.rewards.format:Format", "length": "align.rewards.length:Length",
    "code": "align.rewards.code:Code", "judge": "align.rewards.judge:Judge", "pattern": "align.rewards.pattern:Pattern",
    "python": "align.rewards.python:Python", "model": "align.rewards.compose:ModelSettings",
}  # fmt: skip


@dataclass(frozen=True)
class ModelSettings:
    """Which reward model scores, and how its outputs count."""

    start_from: str  # folder
    # of its outputs: name -> weight; in their order where it gives them no names; {}: there is one
    attributes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Weighted:
    """One reward and its share in the sum."""

    name: str  # in logs and tables
    weight: float
    reward: Reward


@dataclass(frozen=True)
class Given:
    """One reward as it is configured."""

    name: str
    weight: float
    made: Reward | ModelSettings  # a reward model's settings: a run alone opens it


@dataclass(frozen=True)
class Scores:
    """What completions earned."""

    total: np.ndarray  # float64 (n,): the weighted sum
    by_name: Mapping[str, np.ndarray]  # name -> float64 (n,), before weights


class Rewards:
    """Several rewards as one."""

    def __init__(self, parts: Sequence[Weighted]):
        self.parts = tuple(parts)

    def score(self, completions: Sequence[Completion]) -> Scores:
        """Return what completions earn. Raises RewardError naming the reward, and the completion where it is known."""
        total = np.zeros(len(completions))
        by_name: dict[str, np.ndarray] = {}
        for part in self.parts:
            by_name[part.name] = values = np.array(_rated(part, completions), np.float64)
            total += part.weight * values
        return Scores(total, by_name)


def _rated(part: Weighted, completions: Sequence[Completion]) -> list[float]:
    if not completions:
        return []
    try:
        values = part.reward(completions)
    except MillraceError:
        raise
    except Exception as error:  # a user's own class: which completion it was cannot be known
        where = told(0, completions[0])
        raise RewardError(
            f"reward {part.name} failed among {len(completions)} completions from {where} on: {first_line(error)}"
        ) from error
    return checked(part.name, values, completions)


def compose(specs: Sequence[Any], opened: Callable[[ModelSettings], Reward] | None = None) -> Rewards:
    """Make the rewards that a configuration lists, each {kind: settings}; settings may hold `weight` and `name`, too.

    opened: opens reward models, needed for kind model. Raises AlignSettingsError naming what is wrong, and where.
    """
    parts = []
    for number, one in enumerate(read(specs)):
        made = one.made
        if isinstance(made, ModelSettings):
            if opened is None:
                raise AlignSettingsError(f"rewards[{number}].model: a reward model is opened by a run alone")
            made = opened(made)
        parts.append(Weighted(one.name, one.weight, made))
    return Rewards(parts)


def read(specs: Sequence[Any]) -> list[Given]:
    """Return the rewards that a configuration lists, models unopened. Raises as `compose`."""
    found: list[Given] = []
    for number, spec in enumerate(specs):
        one = _read(spec, f"rewards[{number}]")
        if one.name in {other.name for other in found}:
            raise AlignSettingsError(f"rewards[{number}]: two rewards are called {one.name}; give one another name")
        found.append(one)
    return found


def _read(spec: Any, where: str) -> Given:
    if not isinstance(spec, Mapping) or len(spec) != 1:
        raise AlignSettingsError(f"{where} is {spec!r}; it must be one kind with its settings, such as {{math: {{}}}}")
    ((kind, given),) = spec.items()
    if kind not in KINDS:
        near = did_you_mean(str(kind), KINDS)
        raise AlignSettingsError(f"{where}: no reward is called {kind}.{near} Rewards: {', '.join(KINDS)}")
    if given is not None and not isinstance(given, Mapping):
        raise AlignSettingsError(f"{where}.{kind} is {given!r}; it must be a mapping of settings")
    settings = dict(given or {})
    try:
        weight = convert(settings.pop("weight", 1.0), float, "weight")
        name = convert(settings.pop("name", kind), str, "name")
        module, _, cls = KINDS[kind].partition(":")
        made = build(getattr(importlib.import_module(module), cls), settings)
    except ConfigError as error:
        raise AlignSettingsError(f"{where}.{kind}: {error}") from None
    if not np.isfinite(weight):
        raise AlignSettingsError(f"{where}.{kind}: weight is {weight}; it must be a finite number")
    return Given(name, weight, made)
