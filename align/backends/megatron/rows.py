"""Micro-batches as a Megatron model takes them, and what its head gives as a policy's outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from align.backends.limits import refuse_beyond
from align.batch import TokenBatch
from align.policy import Head, Outputs
from pretrain.config import Model
from pretrain.mcore.vocabulary import logprobs, most_likely


@dataclass(frozen=True)
class Row:
    """A micro-batch as one row of documents, its sequences one after another."""

    tokens: Tensor  # int64 (1, length)
    positions: Tensor  # int64 (1, length): in the document
    bounds: Tensor  # int32 (documents + 1,)
    batch: TokenBatch  # whose places are those in the row
    real: bool = True  # False: a filler of an interleaved pipeline, which wants a multiple of its ranks


def rows(
    batches: Sequence[TokenBatch], multiple: int, alike: bool, count: int, device: torch.device | str
) -> list[Row]:
    """Lay micro-batches out: `multiple` divides their length, `count` their number.

    alike: all equally long, which a pipeline asks for. Cells of no sequence are left out, so that without these no
    token is computed in vain.
    """
    joined = [_joined(batch) for batch in batches]
    lengths = [-(-batch.tokens.numel() // multiple) * multiple for batch in joined]
    made = [
        _row(batch, max(lengths) if alike else length, device) for batch, length in zip(joined, lengths, strict=True)
    ]
    filler = dataclasses.replace(made[0], real=False)
    return made + [filler] * (-len(made) % count)


def _joined(batch: TokenBatch) -> TokenBatch:
    """Return the same micro-batch as one row without padding."""
    order = batch.starts.argsort()
    pieces = zip(batch.starts[order].tolist(), batch.lengths[order].tolist(), strict=True)
    cells = torch.cat([torch.arange(start, start + length) for start, length in pieces])
    ends = batch.lengths[order].cumsum(0)
    starts = torch.empty_like(batch.starts)
    starts[order] = ends - batch.lengths[order]
    return dataclasses.replace(
        batch,
        tokens=batch.tokens.flatten()[cells][None],
        positions=batch.positions.flatten()[cells][None],
        cu_seqlens=torch.cat([ends.new_zeros(1), ends]).int(),
        starts=starts,
    )


def _row(batch: TokenBatch, length: int, device: torch.device | str) -> Row:
    padding = length - batch.tokens.numel()
    tokens, positions = (torch.nn.functional.pad(each, (0, padding)) for each in (batch.tokens, batch.positions))
    ends = batch.cu_seqlens
    bounds = torch.cat([ends, ends.new_full((1,), length)]) if padding else ends
    return Row(tokens.to(device), positions.to(device), bounds.to(device), batch.to(device))


def check(batches: Sequence[TokenBatch], model: Model, name: str) -> None:
    """Raise ModelError for tokens or lengths that the model has no weights for."""
    for batch in batches:
        refuse_beyond(batch, model.vocab_size or 0, model.positions or 0, name)


@dataclass(frozen=True)
class Asked:
    """Which outputs are wanted."""

    entropy: bool = False
    candidates: bool = False
    top: int = 0  # most likely tokens


def answer(numbers: Tensor, batch: TokenBatch, head: Head, asked: Asked, temperature: float) -> Outputs:
    """Return a policy's outputs of what the head gave: logits (length, vocabulary of this rank), or numbers."""
    if head == "reward":
        return Outputs(scores=numbers.index_select(0, batch.last_cells))
    steps = torch.arange(batch.labels.shape[1], device=batch.labels.device)
    inside = steps < (batch.lengths - 1)[:, None]  # (n, t)
    cells = batch.cells[inside]
    if head == "value":
        return Outputs(values=_spread(numbers[:, 0].index_select(0, cells), inside))
    targets = batch.labels[inside][:, None]
    if asked.candidates:
        targets = torch.cat([targets, batch.fields["candidates"][inside]], 1)
    found, entropy = logprobs(numbers, cells, targets, temperature, asked.entropy)
    top, candidates = None, _spread(found[:, 1:], inside) if asked.candidates else None
    if asked.top:
        tokens, likely = most_likely(numbers, cells, asked.top, temperature)
        top, candidates = _spread(tokens, inside), _spread(likely, inside)
    return Outputs(
        logprobs=_spread(found[:, 0], inside),
        entropy=None if entropy is None else _spread(entropy, inside),
        candidates=candidates,
        top=top,
    )


def _spread(values: Tensor, inside: Tensor) -> Tensor:
    """Put (m, ...) where `inside` (n, t) is true, 0 elsewhere; returns (n, t, ...)."""
    places = inside.flatten().nonzero()[:, 0]
    whole = values.new_zeros((inside.numel(), *values.shape[1:]))
    return whole.index_copy(0, places, values).view(*inside.shape, *values.shape[1:])


def blank(batch: TokenBatch, head: Head, asked: Asked, outputs: int) -> Outputs:
    """Return zeros of the shapes that `answer` gives, for ranks without the head."""
    count, steps = batch.labels.shape

    def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=batch.labels.device)

    if head == "reward":
        return Outputs(scores=zeros(count, outputs))
    if head == "value":
        return Outputs(values=zeros(count, steps))
    width = asked.top or (batch.fields["candidates"].shape[2] if asked.candidates else 0)
    return Outputs(
        logprobs=zeros(count, steps),
        entropy=zeros(count, steps) if asked.entropy else None,
        candidates=zeros(count, steps, width) if width else None,
        top=zeros(count, steps, width, dtype=torch.int64) if asked.top else None,
    )


def each(outputs: Outputs, change: Callable[[Tensor], Tensor]) -> Outputs:
    """Return outputs with a function applied to all that are there."""
    return Outputs(**{name: None if value is None else change(value) for name, value in vars(outputs).items()})
