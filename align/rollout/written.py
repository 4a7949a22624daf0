"""Where a transformers model keeps the weights that its files know by other names and in other pieces."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from align.errors import RolloutError


def places(model: Any) -> dict[str, Tensor]:
    """Return the memory of every parameter by the name it has in a Hugging Face folder, to be copied into.

    transformers 5 keeps the experts of a layer in one tensor; files have one a projection and expert. Where a piece
    lies is found by sending the numbers of a tensor's cells through transformers' own conversion. Tied weights have
    all their names. Memory: 8 bytes a cell of the largest tensor that is converted. Raises RolloutError where a piece
    is no regular part of the tensor.
    """
    from transformers.core_model_loading import revert_weight_conversion

    found: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        tensor = parameter.detach()
        hollow = torch.empty(tensor.shape, device="meta")
        if list(revert_weight_conversion(model, {name: hollow})) == [name]:
            found[name] = tensor
            continue
        cells = torch.arange(tensor.numel()).view(tensor.shape)
        for written, part in revert_weight_conversion(model, {name: cells}).items():
            found[written] = _region(tensor, part, written)
    return found


def _region(tensor: Tensor, cells: Tensor, name: str) -> Tensor:
    """Return the view of a tensor whose cells have these numbers. Shape: that of `cells`."""
    first = int(cells.flatten()[0])
    seconds = [cells.select(axis, min(1, size - 1)).flatten()[0] for axis, size in enumerate(cells.shape)]
    strides = [int(second) - first for second in seconds]
    regular = torch.full((), first)
    for axis, (size, stride) in enumerate(zip(cells.shape, strides)):
        regular = regular + (torch.arange(size) * stride).view([-1 if i == axis else 1 for i in range(cells.ndim)])
    if not tensor.is_contiguous() or not torch.equal(regular, cells):
        raise RolloutError(
            f"{name} is no regular part of a tensor {tuple(tensor.shape)}: it cannot be updated in place"
        )
    return tensor.as_strided(cells.shape, strides, tensor.storage_offset() + first)
