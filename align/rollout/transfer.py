"""The actor's weights, to the ranks that complete prompts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from align.errors import RolloutError
from align.policy import Policy
from align.rollout.generator import Generator
from align.rollout.placement import Placed, sending
from millrace.errors import MillraceError


def hand_over(policy: Policy | None, generator: Generator | None, placed: Placed) -> None:
    """Give the generator the policy's weights, with their version. Called by all ranks of the job together.

    policy: None on ranks without a part of the actor; generator: None on those that complete no prompts. Weights go
    from the actor's first rank to those that have none of them one tensor at a time, so no rank ever holds a second
    model. Raises RolloutError on all ranks where one of them cannot take them.
    """
    failed = ""
    stream = _given(policy, placed) if policy is not None else _taken(placed) if placed.rank in placed.takers else None
    if stream is not None:
        version = next(stream)
        assert isinstance(version, int)
        try:
            if generator is not None:
                generator.update(stream, version)  # type: ignore[arg-type]
        except MillraceError as error:
            failed = f"rank {placed.rank}: {error}"
        for _ in stream:
            pass  # what was not looked at: the other ranks wait for this one's part in it
    said = [failed]
    if placed.world > 1:
        said = [""] * placed.world
        dist.all_gather_object(said, failed)
    if any(said):
        raise RolloutError(next(filter(None, said)))


def _given(policy: Policy, placed: Placed) -> Iterator[int | tuple[str, Tensor]]:
    """Yield the version, then every weight, sending them on the way where this is the rank that does."""
    sends = bool(placed.takers) and placed.rank == placed.source
    group = placed.groups.get(sending(placed))
    if sends:
        _say(policy.version, placed, group)
    yield policy.version
    for name, given in policy.named_weights():
        tensor = given.detach()
        if sends:
            tensor = tensor.to(_device()).contiguous()
            _say((name, tuple(tensor.shape), tensor.dtype), placed, group)
            dist.broadcast(tensor, placed.source, group)
        yield name, tensor
    if sends:
        _say(None, placed, group)


def _taken(placed: Placed) -> Iterator[int | tuple[str, Tensor]]:
    """Yield what `_given` sends; each tensor's memory is the caller's."""
    group = placed.groups.get(sending(placed))
    yield _say(None, placed, group)
    while (about := _say(None, placed, group)) is not None:
        name, shape, dtype = about
        tensor = torch.empty(shape, dtype=dtype, device=_device())
        dist.broadcast(tensor, placed.source, group)
        yield name, tensor


def _say(about: Any, placed: Placed, group: Any) -> Any:
    """Return on every rank of the group what the source says."""
    said = [about]
    dist.broadcast_object_list(said, placed.source, group)
    return said[0]


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
