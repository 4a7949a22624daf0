"""The ranks that share a model: its shards by FSDP2 (arXiv:2304.11277), whole tensors, sums."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from align.backends.hf.network import Network
from align.errors import AlignSettingsError


@dataclass(frozen=True)
class Ranks:
    """This process among the ranks of a policy; without a process group the only one."""

    rank: int
    size: int
    device: torch.device
    group: Any = None
    members: tuple[int, ...] = (0,)  # global ranks

    @classmethod
    def of(cls, members: tuple[int, ...] | None) -> Ranks:
        """Join the ranks of a policy; None: all. Raises AlignSettingsError where this process is none of them."""
        device = torch.device("cpu")
        if torch.cuda.is_available():
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
            torch.cuda.set_device(device)
        world = dist.get_world_size() if dist.is_initialized() else 1
        me = dist.get_rank() if dist.is_initialized() else 0
        wanted = tuple(range(world)) if members is None else members
        if me not in wanted or max(wanted) >= world:
            raise AlignSettingsError(f"rank {me} of {world} opened a policy of ranks {', '.join(map(str, wanted))}")
        if len(wanted) == 1:
            return cls(0, 1, device, None, wanted)
        group = (
            dist.group.WORLD if len(wanted) == world else dist.new_group(list(wanted), use_local_synchronization=True)
        )
        return cls(wanted.index(me), len(wanted), device, group, wanted)

    def sum(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over the ranks, in place."""
        if self.size > 1:
            dist.all_reduce(tensor, group=self.group)
        return tensor

    def span(self, number: int) -> tuple[int, int]:
        """Return the least and the most that any rank has."""
        if self.size == 1:
            return number, number
        ends = torch.tensor([-number, number], device=self.device)
        dist.all_reduce(ends, dist.ReduceOp.MAX, group=self.group)
        least, most = ends.tolist()
        return -least, most

    def told(self, value: Any) -> Any:
        """Return the first rank's value on all of them."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, self.members[0], group=self.group)
        return values[0]

    def wait(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            self.sum(torch.zeros(1, device=self.device)).item()


def shard(network: Network, ranks: Ranks, dtype: torch.dtype, source: Mapping[str, Tensor]) -> None:
    """Share a network of no weights yet (device "meta") out to ranks, layer by layer, and fill it.

    source: on the first rank, every parameter and buffer by name. Gradients are summed over ranks in float32; losses
    are divided by counts of the global batch already. The scoring layer computes in float32. Memory: this rank's
    shards, and one whole tensor.
    """
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = DeviceMesh.from_group(ranks.group, ranks.device.type, list(ranks.members))
    half = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    parts: list[Any] = [*network.layers, *([] if network.kind == "lm" else [network.scorer]), network]
    for part in parts:
        policy = MixedPrecisionPolicy() if network.kind != "lm" and part is network.scorer else half
        fully_shard(part, mesh=mesh, mp_policy=policy, reshard_after_forward=True)
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)
    network.to_empty(device=ranks.device)
    _fill(network, ranks, source)


@torch.no_grad()  # type: ignore[untyped-decorator]
def _fill(network: Network, ranks: Ranks, source: Mapping[str, Tensor]) -> None:
    from torch.distributed.tensor import distribute_tensor

    def whole(name: str, like: Tensor) -> Tensor:
        if ranks.rank == 0:
            return source[name].to(ranks.device, like.dtype)
        return torch.empty(like.shape, dtype=like.dtype, device=ranks.device)

    for name, parameter in network.named_parameters():
        given: Any = parameter
        placed = distribute_tensor(whole(name, parameter), given.device_mesh, given.placements)
        given.to_local().copy_(placed.to_local())
    for name, buffer in network.named_buffers():
        sent = whole(name, buffer)
        dist.broadcast(sent, ranks.members[0], group=ranks.group)
        buffer.copy_(sent)


def whole(tensor: Any) -> Tensor:
    """Return a parameter whole; all ranks of the policy together."""
    from torch.distributed.tensor import DTensor

    value = tensor.detach()
    return value.full_tensor() if isinstance(value, DTensor) else value
