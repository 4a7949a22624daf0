"""What methods share that learn from given examples: a batch, what it lacks, one optimizer step."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from align.backends.fingerprint import fingerprint
from align.batch import Example
from align.methods.method import Outcome, outcome
from align.objectives import counts
from align.policy import Head, Loss, Policy
from align.run.evaluate import evaluate
from align.run.job import Job
from align.run.measure import gathered
from align.run.reference import Reference, ReferenceCache
from align.run.update import update
from millrace import storage


class Offline:
    """Minimise a loss over a data set, epoch by epoch.

    reference: the loss compares with the model before training; its log-probabilities are computed before the first
    step and kept in the run folder, or with adapters asked for at each step. labels: names of a reward model's outputs;
    (): one without a name.
    """

    def __init__(self, job: Job, loss: Loss, head: Head = "lm", labels: tuple[str, ...] = (), reference: bool = False):
        self.job, self.loss, self.layout = job, loss, job.layout()
        self.data = job.data
        self.steps = self.data.steps
        self.policy = job.policy(
            "actor",
            head=head,
            outputs=len(labels) or 1,
            optimizer=job.config.optimizer,
            steps=self.steps,
            labels=labels,
        )
        self.policies: Mapping[str, Policy | None] = {"actor": self.policy}
        self._cache = ReferenceCache() if reference and job.config.model.peft is None else None
        self._reference = Reference(job, self.policy) if reference and self._cache is None else None

    def begin(self, step: int) -> None:
        """Have the reference's log-probabilities ready."""
        if self._cache is None:
            return
        place, of = storage.join(self.job.folder, "work", "reference.npz"), self._of()
        if all(gathered(self._cache.read(place, of))):
            return
        policy = self.job.policy("reference") if step else self.policy  # before the first step they are the same
        everything = itertools.chain(map(self.batch, range(1, self.steps + 1)), [self.data.validation])
        self._cache.fill(policy, everything, self.layout, lambda: self.job.life.marks.mark(step, "data"))
        if self.job.first:
            self._cache.write(place, of)
        gathered(None)  # all go on with the same

    def _of(self) -> str:
        """Return what the reference's log-probabilities depend on: model, precision, examples."""
        given = self.job.config
        return repr((given.model, self.data.loaded.fingerprint, given.training.seed, given.training.global_batch,
                     self.steps, fingerprint(given.model.start_from)))  # fmt: skip

    def batch(self, number: int) -> list[Example]:
        """Return the examples of step `number`, from 1."""
        return self.data.train.batch(number - 1)

    def complete(self, examples: Sequence[Example]) -> list[Example]:
        """Return examples with the fields the loss reads, which only models know."""
        if self._cache is not None:
            return self._cache.annotated(examples)
        return self._reference.annotated(examples) if self._reference is not None else list(examples)

    def step(self, number: int) -> Outcome:
        """Take one optimizer step."""
        examples = self.complete(self.batch(number))
        over = counts(examples)
        came = update(self.policy, examples, self.layout, self.loss, over)
        return outcome([came], int(over["tokens"]), [one.id for one in examples])

    def validate(self) -> dict[str, float]:
        """Return the loss and its metrics on held-out examples."""
        held = self.complete(self.data.validation)
        return evaluate(self.policy, held, self.layout, self.loss) if held else {}

    def state(self) -> dict[str, Any]:
        """Nothing: a step's batch depends on its number alone."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to take."""

    def export(self, folder: str) -> None:
        """Write the policy."""
        if self.policy is not None:
            self.policy.export(folder)
