"""What methods share that make their own data, learn from them, and begin again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from align.batch import Example
from align.errors import DataError
from align.methods.method import Outcome, outcome
from align.objectives import counts
from align.policy import Loss, Policy
from align.run.job import Job
from align.run.kept import read_examples, write_examples
from align.run.measure import gathered
from align.run.reference import ReferenceCache
from align.run.rollouts import Rollouts
from align.run.samples import Sample
from align.run.update import update
from millrace import storage


@dataclass(frozen=True)
class Phase:
    """Data the policy makes, and the loss it then minimises on them."""

    name: str
    loss: Loss
    make: Callable[[], tuple[list[Example], list[Sample], dict[str, float]]]  # by all ranks together, the same on all
    reference: bool = False  # the loss compares with the policy as it was when the phase began


class Iterated:
    """Phases of equally many steps. A phase's data lie in RUN/work/phases, so that a run goes on in its middle."""

    def __init__(self, job: Job):
        self.job, self.layout = job, job.layout()
        self.data = job.data
        self.phases = self.planned()
        self.steps = self.data.steps
        self.each = self.steps // len(self.phases)
        self.policy = job.policy("actor", optimizer=job.config.optimizer, steps=self.steps)
        self.policies: Mapping[str, Policy | None] = {"actor": self.policy}
        self.rollouts = Rollouts(job, self.policy)
        self.phase = -1
        self._examples: list[Example] = []

    def planned(self) -> Sequence[Phase]:
        """Return the phases, in order; called once."""
        raise NotImplementedError

    def begin(self, step: int) -> None:
        """Nothing to make ready: a step makes or reads the data of its phase."""
        self.number = step

    def step(self, number: int) -> Outcome:
        """Take one optimizer step; the first of a phase makes its data."""
        at, within = divmod(number - 1, self.each)
        self.number = number
        samples, facts = self._enter(at, within) if at != self.phase else ([], {})
        examples = self._batch(within)
        over = counts(examples)
        self.job.life.marks.mark(number, "optimizer")
        came = update(self.policy, examples, self.layout, self.phases[at].loss, over)
        ids = [one.id for one in examples]
        return replace(outcome([came], int(over["tokens"]), ids, phase=float(at + 1), **facts), samples=samples)

    def _enter(self, at: int, within: int) -> tuple[list[Sample], dict[str, float]]:
        """Have a phase's examples ready: made at its beginning, read where a run goes on in its middle."""
        phase, folder = self.phases[at], storage.join(self.job.folder, "work", "phases", str(at + 1))
        self.phase = at
        place = storage.join(folder, "examples.npz")
        if within:
            self._examples = read_examples(place)
            return [], {}
        self._examples, samples, facts = phase.make()
        if not self._examples:
            raise DataError(f"phase {at + 1}, {phase.name}: no completion is fit to learn from; {facts}")
        if phase.reference:
            cache, marks, size = ReferenceCache(), self.job.life.marks, self.job.config.training.global_batch
            batches = (self._examples[first : first + size] for first in range(0, len(self._examples), size))
            cache.fill(self.policy, batches, self.layout, lambda: marks.mark(self.number, marks.phase))
            self._examples = cache.annotated(self._examples)
        if self.job.first:
            write_examples(place, self._examples)
        gathered(None)
        return samples, facts | {"examples": float(len(self._examples))}

    def _batch(self, within: int) -> list[Example]:
        """Return the examples of a phase's step: epochs over them, each in an order of its own."""
        size, count = self.job.config.training.global_batch, len(self._examples)
        order: list[int] = []
        first = within * size
        for place in range(first, first + size):
            epoch, at = divmod(place, count)
            if place == first or at == 0:
                shuffled = np.random.default_rng([self.job.config.training.seed, self.phase, epoch]).permutation(count)
            order.append(int(shuffled[at]))
        return [self._examples[i] for i in order]

    def validate(self) -> dict[str, float]:
        """Complete the watched prompts, and return what they earn."""
        return self.rollouts.watch(self.data.watched, self.number)

    def state(self) -> dict[str, Any]:
        """Return what drawing goes on from; a step's batch depends on its number and its phase's data."""
        return {"rollouts": self.rollouts.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned."""
        self.rollouts.restore(state["rollouts"])

    def export(self, folder: str) -> None:
        """Write the policy."""
        if self.policy is not None:
            self.policy.export(folder)
