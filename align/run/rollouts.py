"""Prompts to completions with rewards: weights to the generator, work to every rank, and trust in what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from align.data.examples import Prompt
from align.policy import Policy
from align.rewards.compose import Rewards, compose
from align.rewards.model import ModelReward
from align.rewards.reward import Completion
from align.rollout import parity
from align.rollout.generator import Rollout, Sampling
from align.rollout.queue import Lengths, collect
from align.rollout.transfer import hand_over
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
        self._sampling = Sampling(given.max_tokens, given.temperature, given.top_p, given.top_k, tuple(job.chat.stop))
        self._rewards = compose(self._specs(), job)
        self._lengths = Lengths()
        self._calls, self._facts = 0, dict[str, float]()

    def _specs(self) -> list[Any]:
        """Return the rewards of the configuration, and PPO's reward model."""
        config = self._job.config
        model = config.settings.reward_model if config.method == "ppo" else ""
        return [*config.rewards, *([{"model": {"start_from": model}}] if model else [])]

    def draw(self, prompts: Sequence[Prompt], group_size: int, *seeds: object) -> Experience:
        """Complete each prompt `group_size` times; called by all ranks together, the same on all."""
        given, placed = self._job.config.rollouts, self._job.placed
        hand_over(self._actor, self._generator, placed)
        asked = requests(prompts, group_size, self._job.config.training.seed, *seeds)
        self._calls += 1
        collected = collect(
            asked, self._sampling, self._generator, self._job.life.store, f"rollouts {self._calls}",
            chunk=given.chunk, workers=placed.workers, expected=self._lengths.expected(asked),
        )  # fmt: skip
        self._lengths.learn(asked, collected.rollouts)
        self._facts = collected.facts()
        answered = [prompt for prompt in prompts for _ in range(group_size)]
        completions = [self._completion(prompt, rollout) for prompt, rollout in zip(answered, collected.rollouts)]
        rewards, by_name = self._rewarded(completions)
        return Experience(tuple(answered), tuple(collected.rollouts), tuple(completions), rewards, by_name)

    def watch(self, prompts: Sequence[Prompt], step: int) -> dict[str, float]:
        """Complete prompts for the table of samples, each time by the same random numbers; return what they earn."""
        seen = self.draw(prompts, 1, "watched")
        if self._job.table is not None:
            self._job.table.add(step, seen.samples(len(prompts)))
        return seen.facts()

    def _completion(self, prompt: Prompt, rollout: Rollout) -> Completion:
        text = self._job.chat.tokenizer.decode(rollout.tokens.tolist(), skip_special_tokens=True)
        return Completion(prompt.text, text, prompt.tokens, rollout.tokens, rollout.finish == "stop", prompt.task)

    def _rewarded(self, completions: Sequence[Completion]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Reward completions: each by one rank, or by the reward model's ranks together."""
        rank, world = self._job.placed.rank, self._job.placed.world
        total, by_name = np.zeros(len(completions)), {}
        for part in self._rewards.parts:
            if isinstance(part.reward, ModelReward):
                values = Rewards([part]).score(completions).by_name[part.name]
            else:
                values = np.zeros(len(completions))
                own = Rewards([part]).score(completions[rank::world]).by_name[part.name]
                for other, given in enumerate(gathered(own)):
                    values[other::world] = given
            by_name[part.name] = values
            total += part.weight * values
        return total, by_name

    def facts(self) -> dict[str, float]:
        """Return what is worth logging of the last draw, and of the last comparison."""
        return self._facts

    def compare(self, trainer: Tensor, generated: Tensor, mask: Tensor, drawn: Sequence[Rollout]) -> dict[str, float]:
        """Return how far generator and trainer are apart. Raises RolloutError where equal weights disagree."""
        versions, version = [one.version for one in drawn], self._version()
        found = parity.compare(trainer, generated, mask, version, versions)
        return parity.gate(found, self._job.config.rollouts.max_ratio_error, version, versions).facts()

    def check(self, ratio_error: float) -> None:
        """Raise RolloutError where the ratios of the first update on fresh completions show that engines disagree."""
        parity.refuse(ratio_error, self._job.config.rollouts.max_ratio_error, self._version(), "in the update itself")

    def _version(self) -> int:
        return int(next(one for one in gathered(self._actor and self._actor.version) if one is not None))
