"""What methods share that learn from completions of their own: draw, reward, compare, learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from align.advantages import truncated_importance
from align.batch import Example
from align.data.examples import Prompt
from align.methods.method import Outcome, outcome
from align.objectives import counts
from align.policy import Loss, Policy, StepResult
from align.run.data import WATCHED
from align.run.evaluate import of_logprobs
from align.run.experience import Experience, masks, stacked, with_rows
from align.run.job import Job
from align.run.measure import measure
from align.run.reference import Reference, with_fields
from align.run.rollouts import Rollouts
from align.run.update import update


class Online:
    """Complete a batch of prompts, and take one or more optimizer steps on the completions.

    epochs, minibatches: optimizer steps a step are their product. reference: log-probabilities of the model before
    training are needed. waits: first steps in which the actor stays as it is, which its schedule leaves out.
    """

    def __init__(
        self, job: Job, loss: Loss, group_size: int, epochs: int = 1, minibatches: int = 1, reference: bool = False,
        waits: int = 0,
    ):  # fmt: skip
        self.job, self.loss, self.layout, self.group_size = job, loss, job.layout(), group_size
        self.epochs, self.minibatches = epochs, minibatches
        self.data = job.data
        self.steps = self.data.steps
        updates = max(1, self.steps - waits) * epochs * minibatches
        self.actor = job.policy("actor", optimizer=job.config.optimizer, steps=updates)
        self.policies: dict[str, Policy | None] = {"actor": self.actor}
        self.reference = Reference(job, self.actor) if reference else None
        self.rollouts = Rollouts(job, self.actor)
        self.drawn = 0  # batches of prompts
        self.number = 0  # of the step
        self.parity: dict[str, float] = {}  # of its completions, where they were compared before the update

    def begin(self, step: int) -> None:
        """Nothing to make ready."""
        self.number = step

    def draw(self, number: int) -> tuple[Experience, dict[str, float]]:
        """Return the completions of the next batch of prompts, and what is worth logging of how they were drawn.

        Where completions are drawn ahead, those of the batch after it are begun; of the last step none are.
        """
        if not self.fresh and not self.rollouts.under_way:
            self._begin(self.drawn)
        prompts = self._prompts(self.drawn)
        drawn = self.rollouts.draw(prompts, self.group_size, "batch", self.drawn)
        self.drawn += 1
        if not self.fresh and number < self.steps:
            self._begin(self.drawn)
        return drawn, drawn.facts() | self.rollouts.facts()

    def _begin(self, batch: int) -> None:
        self.rollouts.begin(self._prompts(batch), self.group_size, "batch", batch)

    def _prompts(self, batch: int) -> list[Prompt]:
        return self.asked(self.data.train.batch(batch))

    def asked(self, prompts: list[Prompt]) -> list[Prompt]:
        """Return prompts as they are completed."""
        return prompts

    def step(self, number: int) -> Outcome:
        """Draw completions, and learn from them."""
        self.number = number
        drawn, facts = self.draw(number)
        self.job.life.marks.mark(number, "optimizer")
        examples = self._trusted(drawn)
        if self.reference is not None:
            examples = self.reference.annotated(examples)
        examples, more = self.advantaged(examples, drawn)
        learnt = self.learn(examples, drawn)
        return replace(
            learnt, metrics=facts | learnt.metrics | self.parity | more, tokens=int(counts(examples)["tokens"]),
            samples=drawn.samples(WATCHED), ids=[one.id for one in examples],
        )  # fmt: skip

    def learn(self, examples: Sequence[Example], drawn: Experience) -> Outcome:
        """Take this step's optimizer steps."""
        results: list[StepResult] = []
        for part in self.parts(examples):
            results.append(self.update(part))
            self._check(results)
        return outcome(results)

    def _check(self, results: Sequence[StepResult]) -> None:
        """Refuse to go on where the first update shows that generator and trainer disagree."""
        if self.at_once and len(results) == 1 and results[0].applied:
            self.rollouts.check(results[0].metrics["ratio_error"])

    @property
    def at_once(self) -> bool:
        """Whether one update follows on completions of the very weights it changes.

        Then the generator's log-probabilities are the trainer's, and the update's own ratios show whether they are: no
        further forward pass.
        """
        return self.fresh and self.epochs * self.minibatches == 1

    @property
    def fresh(self) -> bool:
        """Whether completions were drawn by the weights that are about to learn from them."""
        return not self.job.config.rollouts.asynchronous

    def _trusted(self, drawn: Experience) -> list[Example]:
        """Return examples with old_logprobs: the trainer's; stale ones with weights for what other weights drew."""
        examples = drawn.examples()
        if self.at_once:
            return with_rows(examples, old_logprobs=stacked(examples, "generated_logprobs"))
        examples = with_fields(examples, "old_logprobs", measure(self.actor, examples, self.layout, of_logprobs))
        old, generated = (stacked(examples, name) for name in ("old_logprobs", "generated_logprobs"))
        mask = masks(examples)
        self.parity = self.rollouts.compare(old, generated, mask, drawn.rollouts)
        if self.fresh:
            return examples
        most = self.job.config.rollouts.truncation
        return with_rows(examples, importance=truncated_importance(old, generated, mask, most))

    def advantaged(self, examples: list[Example], drawn: Experience) -> tuple[list[Example], dict[str, float]]:
        """Return examples with the field advantages, and metrics."""
        raise NotImplementedError

    def update(self, examples: Sequence[Example]) -> StepResult:
        """Take one optimizer step."""
        limit = self.job.config.rollouts.max_tokens
        return update(self.actor, examples, self.layout, self.loss, counts(examples, limit))

    def parts(self, examples: Sequence[Example]) -> Iterator[list[Example]]:
        """Yield the examples of each optimizer step: every epoch shuffles them by its own seed."""
        for epoch in range(self.epochs):
            order = np.arange(len(examples))
            if self.minibatches > 1:
                order = np.random.default_rng([self.job.config.training.seed, self.number, epoch]).permutation(order)
            for part in filter(len, np.array_split(order, self.minibatches)):
                yield [examples[i] for i in part]

    def validate(self) -> dict[str, float]:
        """Complete the watched prompts, and return what they earn."""
        return self.rollouts.watch(self.asked(self.data.watched), self.number)

    def state(self) -> dict[str, Any]:
        """Return how many batches of prompts were drawn, and what drawing goes on from."""
        return {"drawn": self.drawn, "rollouts": self.rollouts.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned."""
        self.drawn = int(state["drawn"])
        self.rollouts.restore(state["rollouts"])

    def export(self, folder: str) -> None:
        """Write the actor."""
        if self.actor is not None:
            self.actor.export(folder)


def unfinished_left_out(examples: Sequence[Example], drawn: Experience) -> list[Example]:
    """Return examples in which completions that hit the limit teach nothing, as their end is not the model's own."""
    made = []
    for example, rollout in zip(examples, drawn.rollouts, strict=True):
        (one,) = example.sequences
        ended = rollout.finish == "stop"
        made.append(example if ended else replace(example, sequences=(replace(one, mask=np.zeros_like(one.mask)),)))
    return made
