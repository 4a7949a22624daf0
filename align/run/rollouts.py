"""Prompts to completions with rewards: weights to the generator, work to every rank, and trust in what comes back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from align.data.examples import Prompt
from align.policy import Policy
from align.rewards.compose import compose
from align.rewards.reward import Completion
from align.rollout.generator import Rollout, Sampling
from align.rollout.parity import Parity
from align.rollout.queue import collect
from align.run.experience import Experience, requests
from align.run.generators import open_generator
from align.run.job import Job
from align.run.measure import gathered


class Rollouts:
    """Draws completions with the actor's weights, on all ranks that generate, and rewards them."""

    def __init__(self, job: Job, actor: Policy | None):
        given = job.config.rollouts
        self._job, self._actor = job, actor
        self._generator = open_generator(job, actor)
        self._sampling = Sampling(given.max_tokens, given.temperature, given.top_p, given.top_k, job.chat.stop)
        self._rewards = compose(job.config.rewards)
        self._calls = 0

    def draw(self, prompts: Sequence[Prompt], group_size: int, *seeds: object) -> Experience:
        """Complete each prompt `group_size` times; called by all ranks together, the same on all."""
        self._refresh()
        asked = requests(prompts, group_size, self._job.config.training.seed, *seeds)
        self._calls += 1
        rollouts = collect(
            asked, self._generator, self._job.life.store, self._sampling, self._job.config.rollouts.chunk, f"rollouts {self._calls}"
        )
        answered = [prompt for prompt in prompts for _ in range(group_size)]
        completions = [self._completion(prompt, rollout) for prompt, rollout in zip(answered, rollouts)]
        rewards, by_name = self._rewarded(completions)
        return Experience(tuple(answered), tuple(rollouts), tuple(completions), rewards, by_name)

    def _completion(self, prompt: Prompt, rollout: Rollout) -> Completion:
        text = self._job.chat.tokenizer.decode(rollout.tokens.tolist(), skip_special_tokens=True)
        return Completion(prompt.text, text, prompt.tokens, rollout.tokens, rollout.finish == "stop", prompt.task)
