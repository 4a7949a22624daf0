"""Prompts to completions with rewards: weights to the generator, work to every rank, and trust in what comes back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from align.data.dataset import Prompt
from align.policy import Policy
from align.rewards.compose import compose
from align.rewards.reward import Completion
from align.rollout.engines import open_generator
from align.rollout.generator import Rollout, Sampling
from align.rollout.parity import Parity
from align.rollout.queue import collect
from align.run.experience import Experience, requests
from align.run.job import Job


class Rollouts:
    """Draws completions with the actor's weights on the ranks that generate, and rewards them on all."""

    def __init__(self, job: Job, actor: Policy | None):
        given = job.config.rollouts
        self._job, self._actor = job, actor
        self._generator = open_generator(job, actor)
        self._sampling = Sampling(given.max_tokens, given.temperature, given.top_p, given.top_k, job.stop_tokens)
        self._rewards = compose(job.config.rewards, job)
        self._facts: dict[str, float] = {}

    def draw(self, prompts: Sequence[Prompt], group_size: int, *seeds: object) -> Experience:
        """Complete each prompt `group_size` times; called by all ranks together, the same on all."""
        ...
