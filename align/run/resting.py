"""Models that take turns on a device: each lies in host memory but while it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from weakref import WeakSet

from torch import Tensor

from align.batch import TokenBatch
from align.policy import Head, Loss, Outputs, Part, Policy, StepResult

PARTS: tuple[Part, ...] = ("weights", "optimizer")


class Resting:
    """A policy that is offloaded after each use, as long as another one is on its rank; a `Policy` like any other.

    `neighbours`: the policies of this rank, in which it enters itself. On a CPU nothing moves.
    """

    def __init__(self, policy: Policy, neighbours: WeakSet[Resting]):
        self.policy, self._neighbours = policy, neighbours
        self.head: Head = policy.head
        self.data_rank, self.data_ranks = policy.data_rank, policy.data_ranks
        self._users = 0
        self._away: set[Part] = set()
        neighbours.add(self)
        for one in neighbours:
            one.rest()

    @property
    def version(self) -> int:
        """Return the version of the weights."""
        return self.policy.version

    @version.setter
    def version(self, version: int) -> None:
        self.policy.version = version

    @contextmanager
    def using(self, *parts: Part) -> Iterator[None]:
        """Have parts (all where none is named) on the device while the block runs; the last block to end rests."""
        if wanted := [part for part in parts or PARTS if part in self._away]:
            self.policy.onload(*wanted)
            self._away.difference_update(wanted)
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self.rest()

    def rest(self) -> None:
        """Go to host memory, unless in use or alone."""
        if not self._users and len(self._neighbours) > 1 and len(self._away) < len(PARTS):
            self.policy.offload()
            self._away.update(PARTS)

    def logprobs(
        self, batches: Sequence[TokenBatch], *, entropy: bool = False, top_k: int = 0, candidates: bool = False
    ) -> list[Outputs]:
        with self.using("weights"):
            return self.policy.logprobs(batches, entropy=entropy, top_k=top_k, candidates=candidates)

    def values(self, batches: Sequence[TokenBatch]) -> list[Tensor]:
        with self.using("weights"):
            return self.policy.values(batches)

    def scores(self, batches: Sequence[TokenBatch]) -> list[Tensor]:
        with self.using("weights"):
            return self.policy.scores(batches)

    def train_step(self, microbatches: Sequence[TokenBatch], loss: Loss, counts: Mapping[str, float]) -> StepResult:
        with self.using():
            return self.policy.train_step(microbatches, loss, counts)

    def reference(self) -> AbstractContextManager[None]:
        return self.policy.reference()

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        with self.using("weights"):
            yield from self.policy.named_weights()

    def offload(self, *parts: Part) -> None:
        self.policy.offload(*parts)
        self._away.update(parts or PARTS)

    def onload(self, *parts: Part) -> None:
        self.policy.onload(*parts)
        self._away.difference_update(parts or PARTS)

    def save(self, folder: str) -> None:
        with self.using():
            self.policy.save(folder)

    def load(self, folder: str) -> None:
        with self.using():
            self.policy.load(folder)

    def export(self, folder: str) -> None:
        with self.using("weights"):
            self.policy.export(folder)


@contextmanager
def using(policy: Policy | None, *parts: Part) -> Iterator[None]:
    """Keep a policy on its device through several uses in a row, where it would rest between them."""
    if isinstance(policy, Resting):
        with policy.using(*parts):
            yield
    else:
        yield


def within(policy: Policy | None) -> Any:
    """Return the backend's own policy."""
    return policy.policy if isinstance(policy, Resting) else policy
