"""A model's memory given back for a while: its bytes wait in host memory, its tensors keep their places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


class Parked:
    """What one engine has in host memory.

    Storages are emptied and filled again, so that every view of them (parameters in the buffers of data parallelism,
    the optimizer's shards of these) is right afterwards. Without a GPU the copies are as large as what they replace.
    """

    def __init__(self, engine: Any):
        self._engine = engine
        self._out: dict[str, list[tuple[Any, torch.Tensor | int]]] = {}  # part -> (storage, its bytes or their number)

    @property
    def parts(self) -> frozenset[str]:
        """What is in host memory now."""
        return frozenset(self._out)

    def take(self, part: str) -> None:
        """Move "weights" or "optimizer" (its states, and the buffers of gradients) to host memory."""
        if part in self._out:
            return
        self._engine.settle()
        weights = {_key(tensor): tensor for tensor in self._weights()}
        if part == "weights":
            kept, dropped = weights, {}
        else:
            kept = {_key(tensor): tensor for tensor in self._states() if _key(tensor) not in weights}
            dropped = {_key(tensor): tensor for tensor in self._gradients()}
        out: list[tuple[Any, torch.Tensor | int]] = []
        for tensor in kept.values():
            storage = tensor.untyped_storage()
            host = torch.empty(storage.nbytes(), dtype=torch.uint8, pin_memory=tensor.is_cuda)
            host.copy_(_bytes(tensor))
            storage.resize_(0)
            out.append((tensor, host))
        for tensor in dropped.values():  # begun anew in the next step
            storage = tensor.untyped_storage()
            out.append((tensor, storage.nbytes()))
            storage.resize_(0)
        self._out[part] = out
        torch.cuda.empty_cache()

    def put_back(self, part: str) -> None:
        """Move a part back to the device."""
        for tensor, host in self._out.pop(part, ()):
            size = host if isinstance(host, int) else host.numel()
            tensor.untyped_storage().resize_(size)
            if isinstance(host, torch.Tensor):
                _bytes(tensor).copy_(host)

    def _weights(self) -> Iterator[torch.Tensor]:
        for chunk in self._engine.chunks:
            yield from (parameter.data for parameter in chunk.parameters())
        for buffer in self._buffers():
            if buffer.param_data is not None:
                yield buffer.param_data

    def _gradients(self) -> Iterator[torch.Tensor]:
        for buffer in self._buffers():
            yield buffer.grad_data

    def _buffers(self) -> Iterator[Any]:
        for chunk in self._engine.models:
            yield from getattr(chunk, "buffers", ()) if self._engine.optimizer is not None else ()
            yield from getattr(chunk, "expert_parallel_buffers", ()) if self._engine.optimizer is not None else ()

    def _states(self) -> Iterator[torch.Tensor]:
        for each in self._engine.optimizer.chained_optimizers if self._engine.optimizer is not None else ():
            if each.optimizer is None:
                continue
            for group in each.optimizer.param_groups:
                yield from (parameter.data for parameter in group["params"])
            for state in each.optimizer.state.values():
                yield from (value for value in state.values() if torch.is_tensor(value) and value.dim())


def _key(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage().data_ptr())


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    """Return the whole storage of a tensor as bytes, sharing its memory."""
    return torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(tensor.untyped_storage())
