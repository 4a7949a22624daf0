"""What real ranks do for tests/align/rollout/test_on_ranks.py; each function runs on every rank."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from align.advantages import truncated_importance
from align.config import Placement
from align.errors import RolloutError
from align.rollout.ahead import Ahead
from align.rollout.generator import Request, Sampling
from align.rollout.parity import compare, gate
from align.rollout.placement import Placed, placed
from align.rollout.queue import chunks, collect
from align.rollout.transfer import hand_over
from align.rollout.transformers import TransformersGenerator
from pretrain.run.place import Place
from tests.align.rollout.tiny import llama, requests, same

SAMPLING = Sampling(max_tokens=12, stop=(3, 9))
APART = Placement(actor="0", critic="0", reference="0", reward="0", generate="1")


def here(placement: Placement, asynchronous: bool = False) -> Placed:
    return placed(placement, Place(dist.get_rank(), dist.get_world_size(), 0, 1, 0), asynchronous)


def tcp_store() -> Any:
    """One store for all, as a job has, on a free port that rank 0 found."""
    first = dist.get_rank() == 0
    store = dist.TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False) if first else None
    port = [store.port if store else 0]
    dist.broadcast_object_list(port, 0)
    return store or dist.TCPStore("127.0.0.1", port[0], None, False, timeout=timedelta(seconds=30))


class Actor:
    """As much of a policy as rollouts need, learning by REINFORCE that token 7 is good; data parallel in a group."""

    def __init__(self, group: Any = None, alone: bool = True):
        self.model, self.version, self.group, self.alone = llama(), 0, group, alone
        self.history: list[Any] = [copy.deepcopy(self.model)]

    def named_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield from self.model.named_parameters()

    def logprobs(self, asked: list[Request], rollouts: list[Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows = []
        for request, one in zip(asked, rollouts):
            whole = torch.tensor([*request.prompt.tolist(), *one.tokens.tolist()])
            logits = self.model(input_ids=whole[None]).logits[0]
            chosen = logits[:-1].log_softmax(-1).gather(-1, whole[1:, None])[:, 0]
            rows.append(chosen[len(request.prompt) - 1 :])
        pad = torch.nn.utils.rnn.pad_sequence
        mask = pad([torch.ones(len(one.tokens), dtype=torch.bool) for one in rollouts], batch_first=True)
        drawn = pad([torch.from_numpy(one.logprobs) for one in rollouts], batch_first=True)
        return pad(rows, batch_first=True), drawn, mask

    def train(self, asked: list[Request], rollouts: list[Any]) -> dict[str, float]:
        now, drawn, mask = self.logprobs(asked, rollouts)
        versions = [one.version for one in rollouts]
        parity = gate(compare(now.detach(), drawn, mask, self.version, versions), 1.0001, self.version, versions)
        weights = truncated_importance(now.detach(), drawn, mask, 2.0)
        gain = torch.nn.utils.rnn.pad_sequence(
            [(torch.from_numpy(one.tokens) == 7).float() - 0.1 for one in rollouts], batch_first=True
        )
        loss = -(weights * gain * now * mask).sum() / mask.sum()
        loss.backward()
        with torch.no_grad():
            for parameter in self.model.parameters():
                if not self.alone:
                    dist.all_reduce(parameter.grad, group=self.group)
                parameter -= 2.0 * parameter.grad
                parameter.grad = None
        self.version += 1
        self.history.append(copy.deepcopy(self.model))
        off = float((weights - 1)[mask].abs().max())
        return {"lag": parity.lag, "ratio_error": parity.ratio_error, "importance_off": off}


def asked(step: int) -> list[Request]:
    return requests(8, seed=step)


class Run:
    """An asynchronous run on ranks that train and ranks that complete prompts."""

    def __init__(self, store: Any, key: str):
        self.placed = here(APART, asynchronous=True)
        self.actor = Actor() if self.placed.holds("actor") else None
        generator = TransformersGenerator(llama(seed=5), own=True) if self.placed.holds("generate") else None
        self.ahead = Ahead(generator, self.placed, store, SAMPLING, 3, key)
        self.steps: list[dict[str, Any]] = []
        self.drawn: list[Any] = []

    def go(self, first: int, last: int) -> None:
        if not self.ahead.under_way:
            self.ahead.begin(asked(first), self.actor)
        for step in range(first, last + 1):
            drawn = self.ahead.take().rollouts
            self.ahead.begin(asked(step + 1), self.actor)
            self.drawn.append(drawn)
            facts = self.actor.train(asked(step), drawn) if self.actor else {}
            self.steps.append({"versions": sorted({one.version for one in drawn}), **facts})

    def weight(self) -> list[float]:
        return self.actor.model.lm_head.weight.flatten()[:50].tolist() if self.actor else []


def asynchronous(store: Any) -> dict[str, Any]:
    """Five steps one step ahead; the same again; the same with a stop and a start after two."""
    one = Run(store, "one")
    one.go(1, 5)
    again = Run(store, "again")
    again.go(1, 5)
    broken = Run(store, "broken")
    broken.go(1, 2)
    state = json.loads(json.dumps(broken.ahead.state()))
    resumed = Run(store, "resumed")
    resumed.actor = broken.actor
    resumed.ahead.restore(state)
    resumed.go(3, 5)
    by_hand = True
    if one.actor is not None:
        for step, drawn in enumerate(one.drawn, 1):
            version = max(0, step - 2)
            oracle = TransformersGenerator(one.actor.history[version], version=version).generate(asked(step), SAMPLING)
            by_hand = by_hand and all(map(same, drawn, oracle))
    return {
        "steps": one.steps,
        "drawn_by_the_weights_of_one_step_before": by_hand,
        "again": (one.weight(), again.weight()),
        "resumed": (one.weight(), resumed.weight()),
        "twice": said(lambda: one.ahead.begin(asked(1), one.actor)),
        "nothing": said(lambda: Ahead(None, one.placed, store, SAMPLING, 1).take()),
    }


def said(call: Any) -> str:
    try:
        call()
    except RolloutError as error:
        return str(error)
    return ""


def meets_in_between(store: Any) -> int:
    """Hold the generator until the main threads of both ranks have met after begin()."""
    go = threading.Event()

    class Held(TransformersGenerator):
        def generate(self, requests: Any, sampling: Any) -> Any:
            assert go.wait(60)
            return super().generate(requests, sampling)

    where = here(APART, asynchronous=True)
    generator = Held(llama(), own=True) if where.holds("generate") else None
    ahead = Ahead(generator, where, store, SAMPLING, 3, "held")
    ahead.begin(asked(1), Actor() if where.holds("actor") else None)
    met = torch.ones(1)
    dist.all_reduce(met)
    go.set()
    return int(met.item()) + len(ahead.take().rollouts)


def queue(store: Any) -> dict[str, Any]:
    """All ranks pull from one queue; then one of them fails."""
    generator, wanted = TransformersGenerator(llama()), requests(30, seed=9)
    expected = generator.generate(wanted, SAMPLING)
    dist.barrier()
    given = collect(wanted, SAMPLING, generator, store, "all", chunk=2, workers=dist.get_world_size())
    fewer = collect(wanted, SAMPLING, generator if dist.get_rank() else None, store, "one", chunk=4, workers=1)
    taken = store.add("all", 0)

    class Broken(TransformersGenerator):
        def generate(self, requests: Any, sampling: Any) -> Any:
            raise RolloutError(f"rank {dist.get_rank()} cannot")

    worker = Broken(llama()) if dist.get_rank() == 1 else None
    return {
        "same": all(map(same, given.rollouts, expected)) and all(map(same, fewer.rollouts, expected)),
        "workers": (len(given.busy_seconds), len(fewer.busy_seconds)),
        "taken": (taken, len(chunks(wanted, [0.0] * 30, 2, dist.get_world_size()))),
        "failed": said(lambda: collect(wanted, SAMPLING, worker, store, "bad", chunk=2, workers=1)),
    }


def team(store: Any) -> dict[str, Any]:
    """Two ranks with one model between them complete the same chunks, in step."""

    class Told:
        def add(self, key: str, amount: int) -> int:
            number = torch.tensor([store.add(key, amount) if dist.get_rank() == 0 else 0])
            dist.broadcast(number, 0)
            return int(number)

    class Shared(TransformersGenerator):
        leads = dist.get_rank() == 0
        seen = 0

        def share(self, _: Any) -> Any:
            return Told()

        def generate(self, requests: Any, sampling: Any) -> Any:
            seeds = torch.tensor([sum(one.seed for one in requests)])
            dist.all_reduce(seeds, op=dist.ReduceOp.MAX)  # a pass that both make together
            assert seeds.item() == sum(one.seed for one in requests)
            self.seen += 1
            return super().generate(requests, sampling)

    wanted, generator = requests(10, seed=4), Shared(llama())
    given = collect(wanted, SAMPLING, generator, store, "team", chunk=3, workers=2)
    expected = TransformersGenerator(llama()).generate(wanted, SAMPLING)
    return {
        "same": all(map(same, given.rollouts, expected)),
        "chunks": generator.seen == len(chunks(wanted, [0.0] * 10, 3, 2)),
        "looks": store.add("team", 0) - generator.seen,
        "workers": len(given.busy_seconds),
    }


def handed_over() -> dict[str, Any]:
    """Weights arrive by name and version; ranks whose model is another say so on all."""
    where = here(APART)
    actor = Actor() if where.holds("actor") else None
    if actor:
        actor.version = 11
    generator = TransformersGenerator(llama(seed=5), own=True) if where.holds("generate") else None
    hand_over(actor, generator, where)
    arrived = generator is None or all(
        torch.equal(one, two) for one, two in zip(generator._model.parameters(), llama().parameters())
    )
    other = TransformersGenerator(llama(hidden_size=16), own=True) if generator else None
    refused = said(lambda: hand_over(actor, other, where))
    hand_over(actor, generator, where)  # after a refusal all are in step again
    return {"arrived": arrived, "version": generator.version if generator else 11, "refused": refused}


def two_ranks() -> dict[str, Any]:
    store = tcp_store()
    return {
        "queue": queue(store),
        "team": team(store),
        "handed_over": handed_over(),
        "met": meets_in_between(store),
        "asynchronous": asynchronous(store),
    }


def three_ranks() -> dict[str, Any]:
    """Two ranks train data parallel, two complete prompts, one does both: steps in turn, always with fresh weights."""
    where = here(Placement(actor="0-1", critic="0", reference="0", reward="0", generate="1-2"))
    store = tcp_store()
    actor = Actor(where.group("actor"), alone=False) if where.holds("actor") else None
    generator = None
    if where.holds("generate"):
        generator = TransformersGenerator(actor.model if actor else llama(seed=5), own=actor is None)
    steps = []
    for step in range(1, 4):
        hand_over(actor, generator, where)
        drawn = collect(asked(step), SAMPLING, generator, store, f"step/{step}", chunk=2, workers=where.workers)
        mine = slice(where.rank, None, 2)
        facts = actor.train(asked(step)[mine], drawn.rollouts[mine]) if actor else {}
        steps.append({"version": {one.version for one in drawn.rollouts}.pop(), **facts})
    weight = actor.model.lm_head.weight.flatten()[:50].tolist() if actor else []
    return {"steps": steps, "weight": weight, "groups": len(where.groups)}
