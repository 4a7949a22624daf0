"""One queue of requests that all workers pull from, so that none idles while another still has a pile.

A number in the job's store (torch's TCPStore) says how many chunks were taken; `add` is atomic, so a chunk is taken
once, by whoever is free. The longest go first and chunks become smaller towards the end (guided self-scheduling,
Polychronopoulos and Kuck 1987): what is left to wait for at the end is a small chunk of short completions. Chunks of
one would leave still less, but a batch of one is drawn at several times the cost a token, so all would end later.
Which worker completes a request does not change its tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

from align.errors import RolloutError
from align.rollout.generator import Generator, Request, Rollout, Sampling, Team
from millrace.errors import MillraceError


class Lengths:
    """What completions of a prompt will be long, by what they were: the mean of its last ones.

    A prompt that was never completed counts as the mean of all; among equals the longer prompt comes first.
    """

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}  # by the hash of the prompt
        self._mean, self._count = 0.0, 0

    def expected(self, requests: Sequence[Request]) -> list[float]:
        """Return tokens expected of each completion."""
        return [self._seen.get(_hash(one.prompt), self._mean) for one in requests]

    def learn(self, requests: Sequence[Request], rollouts: Sequence[Rollout]) -> None:
        """Remember how long completions were."""
        by_prompt: dict[str, list[int]] = {}
        for request, rollout in zip(requests, rollouts, strict=True):
            by_prompt.setdefault(_hash(request.prompt), []).append(len(rollout.tokens))
            self._count += 1
            self._mean += (len(rollout.tokens) - self._mean) / self._count
        self._seen |= {prompt: float(np.mean(lengths)) for prompt, lengths in by_prompt.items()}

    def state(self) -> dict[str, Any]:
        """Return plain values, for a checkpoint: what runs beside what shows in the last bits of log-probabilities."""
        return {"mean": self._mean, "count": self._count, "seen": self._seen}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what `state` returned."""
        self._mean, self._count, self._seen = float(state["mean"]), int(state["count"]), dict(state["seen"])


def _hash(prompt: np.ndarray) -> str:
    return str(xxhash.xxh3_64_hexdigest(np.ascontiguousarray(prompt).tobytes()))


def chunks(requests: Sequence[Request], expected: Sequence[float], chunk: int, workers: int) -> list[list[int]]:
    """Cut requests into chunks, in the order they are taken: the same on every worker.

    Longest first; requests of one prompt stay together, as a prompt is read once a chunk. At most `chunk` requests
    each; once a worker's share of what is left is less, that, but not below a quarter of `chunk`. A lone worker takes
    all at once: there is nobody to share with, and large batches are cheaper (32 completions of a small model on a
    CPU take a third of what four batches of 8 do).
    """
    if workers == 1:
        chunk = max(len(requests), 1)
    order = sorted(range(len(requests)), key=lambda i: (-expected[i], -len(requests[i].prompt), i))
    cut: list[list[int]] = []
    at = 0
    while at < len(order):
        size = min(chunk, max(1, chunk // 4, (len(order) - at) // workers))
        cut.append(order[at : at + size])
        at += size
    return cut


@dataclass(frozen=True)
class Work:
    """What one worker did of a queue."""

    rollouts: Mapping[int, Rollout]  # by the request's place
    busy_seconds: float  # in the generator
    seconds: float  # from its first look into the queue to its last
    chunks: int
    failed: str = ""  # what ended it before the queue was empty


def work(
    requests: Sequence[Request], sampling: Sampling, generator: Generator, store: Any, key: str,
    cut: Sequence[Sequence[int]], tick: Callable[[], None] = lambda: None,
) -> Work | None:  # fmt: skip
    """Complete chunks until the queue is empty. No collective of its own: it may run in a thread.

    store: of all workers; key: of this queue, never used before. tick is called after each chunk. What the generator
    refuses is kept for `gather`, so that all ranks hear of it.

    Ranks that share one model, whose passes they make together, are one worker, if their generator is a Team: the
    first takes chunks for all and returns what was drawn, the others None.
    """
    team = generator if isinstance(generator, Team) else None
    store = team.share(store) if team else store
    began, busy, taken, failed = time.perf_counter(), 0.0, 0, ""
    done: dict[int, Rollout] = {}
    while not failed and (number := store.add(key, 1) - 1) < len(cut):
        start = time.perf_counter()
        try:
            made = generator.generate([requests[i] for i in cut[number]], sampling)
            done.update(zip(cut[number], made, strict=True))
        except MillraceError as error:
            failed = str(error)
        busy += time.perf_counter() - start
        taken += 1
        tick()
    if team and not team.leads:
        return None
    return Work(done, busy, time.perf_counter() - began, taken, failed)


@dataclass(frozen=True)
class Collected:
    """All completions of a queue, the same on every rank, and how its workers spent their time."""

    rollouts: list[Rollout]  # in the order of the requests
    busy_seconds: tuple[float, ...]  # by worker
    seconds: float  # of the slowest worker

    @property
    def idle(self) -> float:
        """Return the share of the workers' time in which they had nothing to do: 0 to 1."""
        return 1 - sum(self.busy_seconds) / (len(self.busy_seconds) * self.seconds) if self.seconds else 0.0

    def facts(self) -> dict[str, float]:
        """Return what is logged."""
        tokens = sum(len(one.tokens) for one in self.rollouts)
        return {
            "rollout_seconds": self.seconds,
            "rollout_idle": self.idle,
            "rollout_tokens_per_second": tokens / self.seconds if self.seconds else 0.0,
        }


def joined(parts: Sequence[Collected]) -> Collected:
    """Return what several queues gave, one after another."""
    busy = tuple(sum(one) for one in zip(*(part.busy_seconds for part in parts), strict=True))
    return Collected([one for part in parts for one in part.rollouts], busy, sum(part.seconds for part in parts))


def gather(mine: Work | None, count: int, group: Any = None) -> Collected:
    """Bring together what workers did: on all ranks of the group, which call it together. None: of no worker.

    Raises RolloutError where a worker failed, and where completions are missing or there twice, which a key that was
    used before brings about.
    """
    works = [one for one in _gathered(mine, group) if one is not None]
    if failed := next((one.failed for one in works if one.failed), ""):
        raise RolloutError(failed)
    rollouts: dict[int, Rollout] = {}
    for one in works:
        twice = rollouts.keys() & one.rollouts.keys()
        if twice:
            raise RolloutError(f"request {min(twice)} was completed by two workers: the queue's key was used before")
        rollouts |= one.rollouts
    missing = sorted(set(range(count)) - rollouts.keys())
    if missing:
        raise RolloutError(
            f"{len(missing)} of {count} requests were completed by no worker, the first is {missing[0]}: "
            f"the queue's key was used before, or it has no worker"
        )
    return Collected(
        [rollouts[i] for i in range(count)],
        tuple(one.busy_seconds for one in works),
        max((one.seconds for one in works), default=0.0),
    )


def _gathered(mine: Work | None, group: Any) -> list[Work | None]:
    import torch.distributed as dist

    if not dist.is_initialized() or dist.get_world_size(group) == 1:
        return [mine]
    every: list[Work | None] = [None] * dist.get_world_size(group)
    dist.all_gather_object(every, mine, group)
    return every


def collect(
    requests: Sequence[Request], sampling: Sampling, generator: Generator | None, store: Any, key: str, *,
    chunk: int, workers: int, expected: Sequence[float] | None = None, group: Any = None,
    tick: Callable[[], None] = lambda: None,
) -> Collected:  # fmt: skip
    """Complete requests on all workers; called by all ranks of the group together, with the same requests.

    generator: None on ranks that are no worker. workers: how many there are, a team counted once. expected: tokens of
    each completion, as far as known. A worker that dies leaves the others waiting in `gather`, until the job's
    watchdog ends them.
    """
    cut = chunks(requests, expected or [0.0] * len(requests), chunk, workers)
    mine = None if generator is None else work(requests, sampling, generator, store, key, cut, tick)
    return gather(mine, len(requests), group)
