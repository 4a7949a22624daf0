"""The rewards of a run: made from its configuration, weighed and added up."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

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


class Models(Protocol):
    """What opens reward models: a run's job."""

    def policy(self, role: str, start_from: str = "", head: Any = "lm", outputs: int = 1) -> Any: ...

    def layout(self) -> Any: ...


@dataclass(frozen=True)
class ModelSettings:
    """Which reward model scores, and how its outputs count."""

    start_from: str  # folder
    attributes: dict[str, float] = field(default_factory=dict)  # of the outputs, in order: name -> weight; {}: one


@dataclass(frozen=True)
class Weighted:
    """One reward and its share in the sum."""

    name: str  # in logs and tables
    weight: float
    reward: Reward


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


def compose(specs: Sequence[Any], models: Models | None = None) -> Rewards:
    """Make the rewards that a configuration lists, each {kind: settings}; settings may hold `weight` and `name`, too.

    models: opens reward models, needed for kind model. Raises AlignSettingsError naming what is wrong, and where.
    """
    parts: list[Weighted] = []
    for number, spec in enumerate(specs):
        part = _part(spec, f"rewards[{number}]", models)
        if part.name in {other.name for other in parts}:
            raise AlignSettingsError(f"rewards[{number}]: two rewards are called {part.name}; give one another name")
        parts.append(part)
    return Rewards(parts)


def _part(spec: Any, where: str, models: Models | None) -> Weighted:
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
        reward = _made(kind, settings, models)
    except ConfigError as error:
        raise AlignSettingsError(f"{where}.{kind}: {error}") from None
    if not np.isfinite(weight):
        raise AlignSettingsError(f"{where}.{kind}: weight is {weight}; it must be a finite number")
    return Weighted(name, weight, reward)


def _made(kind: str, settings: Mapping[str, Any], models: Models | None) -> Reward:
    module, _, cls = KINDS[kind].partition(":")
    made = build(getattr(importlib.import_module(module), cls), settings)
    if kind != "model":
        return made  # type: ignore[no-any-return]
    if models is None:
        raise AlignSettingsError("a reward model is opened by a run alone")
    from align.rewards.model import ModelReward

    weights = tuple(made.attributes.values()) or (1.0,)
    policy = models.policy("reward", made.start_from, head="reward", outputs=len(weights))
    return ModelReward(policy, models.layout(), weights)
