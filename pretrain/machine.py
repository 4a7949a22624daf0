"""The machines a run is planned for: this one, or one that is described."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pretrain.errors import ParallelError

GIB = 2**30
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container (cgroup v2); "max" where there is none


@dataclass(frozen=True)
class Machine:
    """What ranks run on. A GPU has a rank of its own; ranks on CPU share the memory of their node."""

    devices: int  # GPUs over all nodes; on CPU cores
    memory: int  # bytes of one GPU; on CPU of the node
    per_node: int  # GPUs a node, between which tensor parallelism is fast; on CPU all cores
    kind: Literal["gpu", "cpu"] = "gpu"

    def __post_init__(self) -> None:
        for name in ("devices", "memory", "per_node"):
            if getattr(self, name) < 1:
                raise ParallelError(f"a machine of {name} {getattr(self, name)} runs nothing; it must be at least 1")
        if self.devices > self.per_node and self.devices % self.per_node:
            raise ParallelError(
                f"{self.devices} GPUs are no whole number of nodes of {self.per_node}; give --gpus-per-node"
            )

    @classmethod
    def gpus(cls, count: int, memory_gib: float, per_node: int = 8) -> Machine:
        """Describe GPUs elsewhere: `--gpus 64 --gpu-memory 80 --gpus-per-node 8`."""
        return cls(count, int(memory_gib * GIB), min(per_node, count))

    @classmethod
    def here(cls) -> Machine:
        """Look at this machine: its GPUs, by the smallest; without any its cores and memory. Imports torch."""
        import torch

        count = torch.cuda.device_count()
        if count:
            memory = min(torch.cuda.get_device_properties(index).total_memory for index in range(count))
            return cls(count, memory, count)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(cores, _memory(), cores, "cpu")

    def memory_of_rank(self, ranks: int) -> int:
        """Return the bytes that one of so many ranks may have."""
        return self.memory if self.kind == "gpu" else self.memory // ranks

    def __str__(self) -> str:
        if self.kind == "cpu":
            return f"{self.devices} CPU cores with {self.memory / GIB:.1f} GiB"
        return f"{self.devices} GPUs of {self.memory / GIB:.1f} GiB, {self.per_node} a node"


def _memory() -> int:
    """Return the bytes of memory this machine, or the container this runs in, has."""
    have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.exists() else "max"
    return have if limit == "max" else min(have, int(limit))
