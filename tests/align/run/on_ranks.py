"""What real ranks do for test_on_ranks.py; each function runs on every rank."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import torch.distributed as dist

from align.config import Config
from millrace.config import build
from pretrain.run.marks import Marks
from pretrain.run.place import Place
from pretrain.run.stop import Stop
from pretrain.run.stragglers import Stragglers
from pretrain.run.worker import Life
from tests.align.rollout.on_ranks import tcp_store
from tests.align.run.runs import run


def life(store: Any) -> Life:
    """Return this rank's life."""
    rank, world = dist.get_rank(), dist.get_world_size()
    stop = Stop()
    stop.meet(store)
    return Life(Place(rank, world, rank, world, 0), Marks(), stop, Stragglers(store, rank, world, 0.0), store)


def several(cases: list[dict[str, Any]]) -> list[str]:
    """Run cases one after another: config, folder, how it is interrupted; return what each raised."""
    kept, raised = tcp_store(), []
    for number, case in enumerate(cases):
        here = life(dist.PrefixStore(f"run {number}", kept))
        if "full_in" in case:
            here.marks.on_step.append(_Full(here, case["full_in"]))
        run(build(Config, case["config"]), Path(case["folder"]), case.get("kill_in", 0), life=here)
        raised.append("")
    return raised


class _Full:
    """Gives rank 1 no room for files while one step's save lasts."""

    def __init__(self, life: Life, step: int):
        self.life, self.step = life, step

    def __call__(self) -> None:
        if self.life.place.rank == 1:
            room = 1000 if self.life.marks.step == self.step else resource.RLIM_INFINITY
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
