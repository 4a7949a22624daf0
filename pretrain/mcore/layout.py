"""What a checkpoint holds of this rank, and where it lies in the whole: weights and AdamW's moments.

Every tensor is a view of the live one: saving copies from it, loading copies into it. Moments are keyed like
the weights they belong to, whichever optimizer held them, so a checkpoint of one kind loads into the other:

    decoder.layers.0.mlp.linear_fc1.weight                              weights
    optimizer.state.{exp_avg,exp_avg_sq}.decoder.layers.0...            float32
    optimizer.state.fp32_param.decoder.layers.0...                      where weights are bfloat16

A rank of the distributed optimizer saves and loads the numbers it owns and no others. Megatron's own way,
"fully_reshardable", gathers all of them on every rank first: with 64 data-parallel ranks, 64 times the state.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from megatron.core.dist_checkpointing.mapping import ShardedObject, ShardedTensor
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer

from pretrain.mcore.boxes import boxes
from pretrain.mcore.model import places, sharded

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Held:
    """What an optimizer holds of one parameter: numbers start to stop of its flattened ones."""

    start: int
    stop: int
    tensors: dict[str, torch.Tensor]  # each of stop - start numbers
    replicated: bool  # over data-parallel ranks, as the parameter is


def tensors(engine: Any) -> list[ShardedTensor]:
    """Return this rank's trained weights and their moments, as views. Moments that are not there yet are made, zero."""
    _begin_moments(engine.optimizer)
    parameters = [parameter for chunk in engine.chunks for parameter in chunk.parameters()]
    parameters.sort(key=torch.Tensor.data_ptr)
    held = dict(_held(engine.optimizer, parameters))
    found = []
    for piece in _pieces(engine):
        shape = (1,) * piece.prepend_axis_num + tuple(piece.local_shape)
        parameter, begin = _parameter_of(piece.data, parameters)
        if parameter is not None and not parameter.requires_grad:
            continue
        found.append(_box(piece.key, piece.data.detach(), shape, piece, piece.global_offset, piece.replica_id))
        if parameter is not None and parameter in held:
            found += _moments(piece, shape, begin, held[parameter])
    return found


def objects(engine: Any) -> list[dict[str, ShardedObject]]:
    """Return what modules keep beside tensors (Transformer Engine's scales), by name, of each chunk."""
    states = [places(chunk) for chunk in engine.chunks]
    return [{name: value for name, value in state.items() if isinstance(value, ShardedObject)} for state in states]


def step(optimizer: Any) -> int | None:
    """Return how many updates AdamW has made; None where this rank holds no parameter."""
    for each in _inner(optimizer):
        counts = [state["step"] for state in each.state.values() if "step" in state]
        counts += [group["step"] for group in each.param_groups if "step" in group]
        if counts:
            return int(counts[0])
    return None


def set_step(optimizer: Any, count: int) -> None:
    """Set how many updates AdamW has made.

    torch's AdamW counts in a tensor of each parameter. They must not be one and the same, as they are after
    Megatron's DistributedOptimizer.load_state_dict: each parameter would count it up.
    """
    for each in _inner(optimizer):
        for state in each.state.values():
            if "step" in state:
                state["step"] = torch.full_like(state["step"], float(count))
        for group in each.param_groups:
            if "step" in group or not isinstance(each, torch.optim.AdamW):
                group["step"] = count


def _pieces(engine: Any) -> Iterator[ShardedTensor]:
    for chunk in engine.chunks:
        yield from sharded(places(chunk))


def _inner(optimizer: Any) -> list[Any]:
    return [each.optimizer for each in optimizer.chained_optimizers if each.optimizer is not None]


def _begin_moments(optimizer: Any) -> None:
    """Make the moments that the first update would make: with torch's AdamW they are absent before it."""
    for each in optimizer.chained_optimizers:
        if each.optimizer is None:
            continue
        each.init_state_fn(each.optimizer, each.config)
        if isinstance(each.optimizer, torch.optim.AdamW):
            for state in each.optimizer.state.values():
                state.setdefault("step", torch.zeros((), dtype=torch.float32))


def _held(optimizer: Any, parameters: list[torch.Tensor]) -> Iterator[tuple[torch.Tensor, Held]]:
    for each in optimizer.chained_optimizers:
        state = each.optimizer.state if each.optimizer is not None else {}
        distributed = isinstance(each, DistributedOptimizer)
        for parameter in parameters:
            if not distributed:
                main = getattr(parameter, "main_param", parameter)
                start, stop = 0, parameter.numel()
            elif parameter in each.model_param_group_index_map:
                group, order = each.model_param_group_index_map[parameter]
                main = each.optimizer.param_groups[group]["params"][order]
                run = each._get_model_param_range_map(parameter)["param"]
                start, stop = run.start, run.end
            else:
                continue
            if main in state:
                kept = {name: state[main][name] for name in MOMENTS}
                if parameter.dtype != torch.float32:
                    kept["fp32_param"] = main.detach()
                yield parameter, Held(start, stop, kept, not distributed)


def _parameter_of(piece: torch.Tensor, parameters: list[torch.Tensor]) -> tuple[torch.Tensor | None, int]:
    """Return which of the parameters, in order of address, a piece is a view of, and where in it the piece begins."""
    at = bisect.bisect_right(parameters, piece.data_ptr(), key=torch.Tensor.data_ptr) - 1
    begin = (piece.data_ptr() - parameters[at].data_ptr()) // piece.element_size()
    if at < 0 or begin + piece.numel() > parameters[at].numel():
        return None, 0  # a buffer
    assert piece.is_contiguous()
    return parameters[at], begin


def _moments(piece: ShardedTensor, shape: tuple[int, ...], begin: int, held: Held) -> Iterator[ShardedTensor]:
    first, last = max(begin, held.start), min(begin + piece.data.numel(), held.stop)
    # a run has one owner among the data-parallel ranks: the last number of a replica's name
    replica = piece.replica_id if held.replicated else (*piece.replica_id[:-1], 0)
    for name, tensor in held.tensors.items():
        flat, at = tensor.view(-1), first - held.start
        for offsets, lengths in boxes(shape, first - begin, last - begin):
            data = flat[at : at + math.prod(lengths)]
            at += data.numel()
            place = tuple(a + b for a, b in zip(piece.global_offset, offsets))
            yield _box(f"optimizer.state.{name}.{piece.key}", data, lengths, piece, place, replica)


def _box(
    key: str, data: torch.Tensor, shape: tuple[int, ...], of: ShardedTensor, place: tuple[int, ...], replica: Any
) -> ShardedTensor:
    """Return a box at a place of the global tensor that `of` is a piece of; no grid is taken for granted."""
    return ShardedTensor(key, data.view(shape), data.dtype, shape, of.global_shape, tuple(place), None, replica)
