"""What a method is to the loop that runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from align.policy import Policy, StepResult
from align.run.samples import Sample


@dataclass(frozen=True)
class Outcome:
    """What a step came to; the same on every rank."""

    metrics: dict[str, float]
    tokens: int  # learnt, in all optimizer steps of this one
    applied: bool = True  # False: an update was not finite, and left out
    samples: Sequence[Sample] = field(default_factory=tuple)  # completions worth keeping
    ids: Sequence[str] = field(default_factory=tuple)  # of the examples, or prompts, it learnt from


class Method(Protocol):
    """One way to align a model, at work on all ranks of a job together."""

    steps: int  # of the run
    policies: Mapping[str, Policy | None]  # what checkpoints hold, by role; None: this rank has no part of it

    def begin(self, step: int) -> None:
        """Make ready to go on after `step`, 0 for the beginning: once, after a restore."""
        ...

    def step(self, number: int) -> Outcome:
        """Take step `number`, from 1."""
        ...

    def validate(self) -> dict[str, float]:
        """Measure held-out data; nothing where none is held out."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps beside the policies: plain values."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned."""
        ...

    def export(self, folder: str) -> None:
        """Write what the run hands on."""
        ...


def outcome(results: Sequence[StepResult], tokens: int = 0, ids: Sequence[str] = (), **more: float) -> Outcome:
    """Return the means over the optimizer steps of one step."""
    found: dict[str, list[float]] = {}
    for result in results:
        for name, value in result.metrics.items():
            found.setdefault(name, []).append(value)
    metrics = {name: sum(values) / len(values) for name, values in found.items()} | {
        "loss": sum(result.loss for result in results) / len(results),
        "grad_norm": sum(result.grad_norm for result in results) / len(results),
        "lr": results[-1].lr,
    }
    return Outcome(metrics | more, tokens, all(result.applied for result in results), ids=ids)
