"""A micro-batch as a transformers model takes it: rows that are one sequence each, or one row of documents."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from align.backends.limits import refuse_beyond
from align.batch import TokenBatch
from align.errors import ModelError


@dataclass(frozen=True)
class Inputs:
    """What a forward pass is given, and where its answers lie. `positions` and `documents` of one packed row alone."""

    tokens: Tensor  # int64 (b, s)
    positions: Tensor | None  # int64 (1, s)
    documents: list[int] | None  # their lengths, one after another
    cells: Tensor  # int64 (m,): positions in the b * s tokens that predict a token, or (n,): last ones
    places: Tensor  # int64 (m,): where in (n, t) their tokens stand, flat


@dataclass(frozen=True)
class Limits:
    """What a model can take."""

    name: str
    vocabulary: int  # rows of its embedding
    positions: int | None  # tokens of a sequence, virtual ones included; None: any number
    virtual: int = 0  # tokens that p-tuning puts first
    packs: bool = True  # sequences in a row do not see each other
    packed: bool = True  # a row of documents costs no more than rows of their own do

    def check(self, batch: TokenBatch) -> None:
        """Raise ModelError for tokens or lengths that the model has no weights for."""
        refuse_beyond(batch, self.vocabulary, self.positions, self.name, self.virtual)


def inputs(batch: TokenBatch, limits: Limits, device: torch.device, last: bool = False, learnt: bool = False) -> Inputs:
    """Lay a micro-batch out for a model, on its device. last: answers are wanted at each sequence's last token.

    learnt: of tokens that are in the batch's mask alone; prompts need no logits.

    However it was laid out, its sequences follow each other without any padding, where the model can take that.
    """
    limits.check(batch)
    apart = _one_a_row(batch)
    lengths, positions, documents = batch.lengths, None, None
    if limits.packs and (limits.packed or not apart):
        documents = lengths.tolist()
        starts = lengths.cumsum(0) - lengths
        owner = torch.repeat_interleave(lengths)
        positions = (torch.arange(len(owner), device=owner.device) - starts[owner])[None]
        tokens = batch.tokens.flatten()[batch.starts[owner] + positions]
    elif apart:  # causal attention never looks at what stands behind, so padding needs no mask
        tokens = batch.tokens[:, : int(lengths.max())]
        starts = torch.arange(len(lengths), device=lengths.device) * tokens.shape[1]
    else:
        raise ModelError(f"{limits.name} lets packed sequences see each other; set data.packing to false")
    count, steps = batch.labels.shape
    if last:
        cells, places = starts + lengths - 1, torch.arange(count)
    else:
        inside = batch.mask if learnt else torch.arange(steps, device=lengths.device) < (lengths - 1)[:, None]
        places = inside.flatten().nonzero()[:, 0]
        cells = starts[places // steps] + places % steps
    if limits.virtual:
        cells = cells + (cells // tokens.shape[1] + 1) * limits.virtual
    there, at, put = (each.to(device, non_blocking=True) for each in (tokens, cells, places))
    return Inputs(there, None if positions is None else positions.to(device, non_blocking=True), documents, at, put)


def _one_a_row(batch: TokenBatch) -> bool:
    """Tell whether each row holds one sequence, from its first cell on."""
    rows, width = batch.tokens.shape
    return len(batch.starts) == rows and bool(
        (batch.starts == torch.arange(rows, device=batch.starts.device) * width).all()
    )


def spread(values: Tensor, places: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Put (m, ...) at their places of (n, t), 0 elsewhere; returns (n, t, ...)."""
    count, steps = shape
    rest = values.shape[1:]
    whole = values.new_zeros((count * steps, *rest))
    return whole.index_copy(0, places, values).view(count, steps, *rest)
