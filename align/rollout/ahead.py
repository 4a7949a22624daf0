"""Completions drawn one step ahead: some ranks complete the next step's prompts while the others train on this one's.

Every rank of the job calls the same two things a step, in this order, and what goes on between is its own:

    drawn = ahead.take()                  # all ranks wait for the completions of this step, and get all of them
    ahead.begin(next_requests, policy)    # the ranks that complete prompts get today's weights, and start
    ...                                   # train on `drawn`, with whatever collectives it takes

Completions are drawn in a thread, which makes no collectives: the main threads of all ranks stay free for them. From
the second step on, completions are one version older than the weights that learn from them (Noukhovitch et al. 2024,
"Asynchronous RLHF"): `align.advantages.truncated_importance` weighs what that changes.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from align.errors import RolloutError
from align.policy import Policy
from align.rollout.generator import Generator, Request, Rollout, Sampling
from align.rollout.placement import Placed
from align.rollout.queue import Collected, Lengths, Work, chunks, gather, work
from align.rollout.transfer import hand_over


class Ahead:
    """The completions under way; at most of one step.

    generator: with a copy of its own, on ranks that complete prompts; None elsewhere. store: of all ranks; key: of
    this run's queues.
    """

    def __init__(
        self, generator: Generator | None, placed: Placed, store: Any, sampling: Sampling, chunk: int,
        key: str = "rollouts",
    ):  # fmt: skip
        self.generator, self.placed, self.store = generator, placed, store
        self.sampling, self.chunk, self.key = sampling, chunk, key
        self.lengths = Lengths()
        self._number = 0  # of queues begun
        self._requests: list[Request] | None = None  # under way
        self._thread: _Thread | None = None
        self._kept: Collected | None = None  # restored, or waited for early

    @property
    def under_way(self) -> bool:
        """Say whether there is something to take."""
        return self._requests is not None

    def begin(self, requests: Sequence[Request], policy: Policy | None) -> None:
        """Send the policy's weights and start drawing, by all ranks together; return without waiting for completions.

        policy: None on ranks without a part of the actor. Raises RolloutError where completions are under way.
        """
        if self.under_way:
            raise RolloutError("completions of a step are under way: take() them before the next begin()")
        hand_over(policy, self.generator, self.placed)
        self._number += 1
        self._requests = list(requests)
        if self.generator is not None:
            cut = chunks(requests, self.lengths.expected(requests), self.chunk, self.placed.workers)
            given = (self._requests, self.sampling, self.generator, self.store, f"{self.key}/{self._number}", cut)
            self._thread = _Thread(given)
            self._thread.start()

    def take(self) -> Collected:
        """Wait for the completions begun, and return them on every rank; called by all ranks together.

        Raises RolloutError where nothing was begun, or on all ranks where a generator failed.
        """
        if self._requests is None:
            raise RolloutError("no completions are under way: begin() them first")
        collected = self._waited()
        self.lengths.learn(self._requests, collected.rollouts)
        self._requests = self._kept = None
        return collected

    def wait(self) -> None:
        """Wait for what is under way, if anything; it can be taken afterwards. By all ranks together."""
        if self._requests is not None:
            self._waited()

    def _waited(self) -> Collected:
        assert self._requests is not None
        if self._kept is None:
            mine = None if self._thread is None else self._thread.result()
            self._thread = None
            self._kept = gather(mine, len(self._requests))
        return self._kept

    def state(self) -> dict[str, Any]:
        """Wait for what is under way and return it as plain values, for a checkpoint; it can be taken afterwards.

        By all ranks together. With it a run that goes on learns from the same completions as one that never stopped.
        """
        if self._requests is None:
            return {}
        rollouts = self._waited().rollouts
        return {
            "prompts": [one.prompt.tolist() for one in self._requests],
            "seeds": [one.seed for one in self._requests],
            "tokens": [one.tokens.tolist() for one in rollouts],
            "logprobs": [one.logprobs.tolist() for one in rollouts],
            "finish": [one.finish for one in rollouts],
            "version": [one.version for one in rollouts],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take what `state` returned: the next take() gives it."""
        if not state:
            return
        self._requests = [Request(np.array(p, np.int64), seed) for p, seed in zip(state["prompts"], state["seeds"])]
        rows = zip(state["tokens"], state["logprobs"], state["finish"], state["version"], strict=True)
        made = [Rollout(np.array(t, np.int64), np.array(lp, np.float32), finish, v) for t, lp, finish, v in rows]
        self._kept = Collected(made, (), 0.0)


class _Thread(threading.Thread):
    """`work`, whose result or error comes when it is asked for."""

    def __init__(self, given: tuple[Any, ...]):
        super().__init__(name="rollouts", daemon=True)  # a run that ends does not wait for it
        self._given = given
        self._made: Work | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._made = work(*self._given)
        except BaseException as error:
            self._error = error

    def result(self) -> Work | None:
        """Wait, and return what was done."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._made
