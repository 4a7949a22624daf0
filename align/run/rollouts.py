"""Prompts to completions with rewards: weights to the generator, work to every rank, and trust in what comes back."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from align.data.examples import Prompt
from align.policy import Policy
from align.rewards.compose import Rewards, compose
from align.rewards.reward import Completion
from align.rollout import parity
from align.rollout.ahead import Ahead
from align.rollout.generator import Request, Rollout, Sampling
from align.rollout.queue import Collected, Lengths, collect, joined
from align.rollout.transfer import hand_over
from align.run.experience import Experience, requests
from align.run.generators import open_generator, shares
from align.run.job import Job
from align.run.measure import gathered
from align.run.model_reward import ModelReward, opened
from align.run.resting import using

PORTION = 64  # chunks of a worker that are completed, rewarded, and then marked


class Rollouts:
    """Draws completions with the actor's weights, on all ranks that generate, and rewards them."""

    def __init__(self, job: Job, actor: Policy | None):
        given = job.config.rollouts
        self._job, self._actor = job, actor
        self._generator = open_generator(job, actor)
        workers = gathered(None if self._generator is None else shares(job, actor))
        self._workers = sum(one is not None for one in workers)
        self._sends = any(one is False for one in workers)  # to a worker whose weights are not the actor's own
        self._sampling = Sampling(given.max_tokens, given.temperature, given.top_p, given.top_k, tuple(job.chat.stop))
        self._rewards = compose(self._specs(), functools.partial(opened, job))
        self._lengths = Lengths()
        self._calls, self._facts = 0, dict[str, float]()
        self._given: int | None = None  # the version of the weights that the generator has
        self._chunk = PORTION * given.chunk if given.engine == "http" else given.chunk  # a server makes its own batches
        self._ahead: Ahead | None = None
        if given.asynchronous:
            self._ahead = Ahead(self._generator, job.placed, job.life.store, self._sampling, self._chunk, "ahead")
            self._ahead.lengths = self._lengths

    def _specs(self) -> list[Any]:
        """Return the rewards of the configuration, and PPO's reward model."""
        config = self._job.config
        model = config.settings.reward_model if config.method == "ppo" else ""
        return [*config.rewards, *([{"model": {"start_from": model}}] if model else [])]

    def draw(self, prompts: Sequence[Prompt], group_size: int, *seeds: object) -> Experience:
        """Complete each prompt `group_size` times and reward that; called by all ranks together, the same on all.

        Where they were begun ahead, wait for them. Many are drawn in portions, after each of which the watchdog sees
        that this rank moves.
        """
        if self._ahead is not None and self._ahead.under_way:
            collected = self._ahead.take()
            self._facts = collected.facts()
            return self._experience(prompts, group_size, collected)
        asked, marks = self._requests(prompts, group_size, *seeds), self._job.life.marks
        each = max(1, PORTION * self._job.config.rollouts.chunk * self._workers // group_size)
        collections, parts = [], []
        for first in range(0, len(prompts), each):
            collected = self._collect(asked[first * group_size : (first + each) * group_size])
            parts.append(self._experience(prompts[first : first + each], group_size, collected))
            collections.append(collected)
            marks.mark(marks.step, marks.phase)
        self._facts = joined(collections).facts()
        return functools.reduce(Experience.and_then, parts)

    def _requests(self, prompts: Sequence[Prompt], group_size: int, *seeds: object) -> list[Request]:
        return requests(prompts, group_size, self._job.config.training.seed, *seeds)

    def _experience(self, prompts: Sequence[Prompt], group_size: int, collected: Collected) -> Experience:
        answered = [prompt for prompt in prompts for _ in range(group_size)]
        completions = [self._completion(prompt, rollout) for prompt, rollout in zip(answered, collected.rollouts)]
        rewards, by_name = self._rewarded(completions)
        return Experience(tuple(answered), tuple(collected.rollouts), tuple(completions), rewards, by_name)

    def _collect(self, asked: Sequence[Request]) -> Collected:
        """Complete requests with today's weights; what is drawn ahead ends first."""
        if self._ahead is not None:
            self._ahead.wait()
        shared = self._actor if self._generator is not None else None
        self._calls += 1
        with using(shared, "weights"):
            self._hand_over()
            collected = collect(
                asked, self._sampling, self._generator, self._job.life.store, f"rollouts {self._calls}",
                chunk=self._chunk, workers=self._workers, expected=self._lengths.expected(asked),
            )  # fmt: skip
        self._lengths.learn(asked, collected.rollouts)
        return collected

    def _hand_over(self) -> None:
        """Give the generator the actor's weights, where they have changed."""
        if self._given == (version := self._version()):
            return
        if self._sends:
            hand_over(self._actor, self._generator, self._job.placed)
        elif self._generator is not None:
            self._generator.update((), version)
        self._given = version

    def begin(self, prompts: Sequence[Prompt], group_size: int, *seeds: object) -> None:
        """Begin to complete prompts with today's weights, on ranks that do nothing else; `draw` waits for them."""
        assert self._ahead is not None
        self._given = self._version()
        self._ahead.begin(self._requests(prompts, group_size, *seeds), self._actor)

    @property
    def under_way(self) -> bool:
        """Whether completions were begun ahead, and not yet asked for."""
        return self._ahead is not None and self._ahead.under_way

    def state(self) -> dict[str, Any]:
        """Return what a run needs to draw the same, as plain values; by all ranks together.

        What was begun ahead is waited for, and kept.
        """
        ahead = self._ahead.state() if self._ahead is not None else {}
        return {"lengths": self._lengths.state(), "ahead": ahead}

    def restore(self, state: dict[str, Any]) -> None:
        """Take what `state` returned."""
        self._lengths.restore(state["lengths"])
        if self._ahead is not None:
            self._ahead.restore(state["ahead"])

    def watch(self, prompts: Sequence[Prompt], step: int) -> dict[str, float]:
        """Complete prompts for the table of samples, each time by the same random numbers; return what they earn."""
        seen = self._experience(prompts, 1, self._collect(self._requests(prompts, 1, "watched")))
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
