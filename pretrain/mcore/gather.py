"""Whole tensors from the parts that ranks hold, under any parallel sizes."""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.dist_checkpointing.mapping import is_main_replica

from pretrain.hf.rows import Box
from pretrain.hf.tables import canonical
from pretrain.mcore.model import places, sharded

Part = tuple[tuple[int, ...], tuple[int, ...], int, int]  # offset, shape, rank, which of that rank's


class Whole:
    """The whole tensors of an engine's model: every rank asks for the same one at the same time, and all get it.

    Where parts lie is agreed on once; a tensor costs a broadcast of each part. Memory: one tensor, and one part.
    """

    def __init__(self, engine: Any):
        self._engine = engine
        pieces = [piece for chunk in engine.chunks for piece in sharded(places(chunk)) if piece.data is not None]
        self._mine = [piece for piece in pieces if piece.data.is_floating_point() and is_main_replica(piece.replica_id)]
        told: list[Any] = [None] * torch.distributed.get_world_size()
        mine = [
            (canonical(piece.key), tuple(piece.global_offset), _lead(piece), tuple(piece.global_shape))
            for piece in self._mine
        ]
        torch.distributed.all_gather_object(told, mine)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._parts: dict[str, list[Part]] = {}
        for rank, pieces_of_rank in enumerate(told):
            for number, (key, offset, shape, whole) in enumerate(pieces_of_rank):
                self.shapes[key] = whole
                self._parts.setdefault(key, []).append((offset, shape, rank, number))

    @torch.no_grad()
    def read(self, box: Box) -> torch.Tensor:
        """Return a box of a tensor that no part crosses the border of: a whole one, or that of one expert."""
        made = torch.empty(box.shape, dtype=self._engine.config.params_dtype, device=torch.cuda.current_device())
        rank, several = torch.distributed.get_rank(), torch.distributed.get_world_size() > 1
        for offset, shape, owner, number in self._parts[box.key]:
            place = [a - b for a, b in zip(offset, box.offset)]
            if any(a < 0 or a + n > whole for a, n, whole in zip(place, shape, box.shape)):
                continue
            part = self._mine[number].data.detach() if rank == owner else made.new_empty(shape)
            part = part.reshape(shape).contiguous()
            if several:
                torch.distributed.broadcast(part, owner)
            made[tuple(slice(a, a + n) for a, n in zip(place, shape))] = part
        return made

    def read_key(self, key: str) -> torch.Tensor:
        """Return a whole tensor by its key."""
        shape = self.shapes[key]
        return self.read(Box(key, (0,) * len(shape), shape))


def _lead(piece: Any) -> tuple[int, ...]:
    return (*(1,) * piece.prepend_axis_num, *piece.local_shape)
