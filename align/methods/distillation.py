"""Distillation: a student learns a teacher's distribution, on given answers or on its own (Agarwal et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from align.batch import Example, TokenBatch
from align.methods.method import Outcome
from align.methods.offline import Offline
from align.objectives import DistillationLoss
from align.policy import Policy
from align.run.check import fits
from align.run.data import prompt_of
from align.run.job import Job
from align.run.measure import measure
from align.run.models import vocabulary
from align.run.reference import with_fields
from align.run.rollouts import Rollouts


class DistillationMethod(Offline):
    """The teacher's likeliest tokens at every position, and the student's log-probabilities of them."""

    def __init__(self, job: Job):
        self.settings = job.config.settings
        super().__init__(job, DistillationLoss(self.settings))
        self.teacher = job.policy("reference", self.settings.teacher)
        self.rollouts = Rollouts(job, self.policy) if self.settings.on_policy else None
        self.drawn = 0.0  # share of the batch's answers that are the student's own

    def batch(self, number: int) -> list[Example]:
        """Return a step's examples; a share of batches the student answers itself, where there is room for it."""
        given = super().batch(number)
        self.drawn = 0.0
        if self.rollouts is None or self._given(number):
            return given
        config = self.job.config
        prompts = [prompt_of(one) for one in given]
        room = [fits(config, one) for one in prompts]
        asked = [prompt for prompt, there in zip(prompts, room) if there]
        drawn = iter(self.rollouts.draw(asked, 1, number).sequences() if asked else ())
        self.drawn = sum(room) / len(room)
        return [
            Example(one.id, (replace(next(drawn), token_fields={}),)) if there else one
            for one, there in zip(given, room)
        ]

    def step(self, number: int) -> Outcome:
        """Take one optimizer step; where the student answers itself, log the share of the batch it did."""
        came = super().step(number)
        return came if self.rollouts is None else replace(came, metrics=came.metrics | {"drawn": self.drawn})

    def _given(self, number: int) -> bool:
        draw = np.random.default_rng([self.job.config.training.seed, number]).random()
        return bool(draw >= self.settings.on_policy)

    def state(self) -> dict[str, Any]:
        """Return what drawing goes on from."""
        return {"rollouts": self.rollouts.state()} if self.rollouts is not None else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned."""
        if self.rollouts is not None:
            self.rollouts.restore(state["rollouts"])

    def complete(self, examples: Sequence[Example]) -> list[Example]:
        """Return examples with candidates and the teacher's log-probabilities of them."""
        top_k = self.settings.top_k or vocabulary(self.settings.teacher)
        given = measure(self.teacher, examples, self.layout, lambda policy, batches: _likeliest(policy, batches, top_k))
        ids = [[one[:, 0].astype(np.int64) for one in each] for each in given]
        known = with_fields(examples, "candidates", ids)
        return with_fields(known, "teacher_logprobs", [[one[:, 1] for one in each] for each in given])


def _likeliest(policy: Policy, batches: Sequence[TokenBatch], top_k: int) -> list[Tensor]:
    """Return (n, t, 2, k): tokens, whose numbers float32 holds exactly below 2^24, and their log-probabilities."""
    made = []
    for outputs in policy.logprobs(batches, top_k=top_k):
        assert outputs.top is not None
        assert outputs.candidates is not None
        made.append(torch.stack((outputs.top.float(), outputs.candidates), 2))
    return made


def open_method(job: Job) -> DistillationMethod:
    """Return the method at work on this rank."""
    return DistillationMethod(job)
