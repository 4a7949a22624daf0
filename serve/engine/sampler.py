"""One token a row, each row drawn as its own request wants it, in a few operations for all rows together.

What is drawn is what `align.rollout.sampling.draw` draws for the same temperature, top-k, top-p and seed: the number
for token i of a completion is a hash of (seed, i). So a row does not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from align.rollout.sampling import uniform
from serve.engine.request import Drawing


@dataclass(frozen=True)
class Row:
    """How the next token of one completion is drawn."""

    drawing: Drawing
    drawn: Sequence[int]  # tokens it has
    top: int  # most likely tokens told beside it


@dataclass(frozen=True)
class Drawn:
    """What was drawn, on the CPU."""

    tokens: np.ndarray  # int64 (b,)
    logprobs: np.ndarray  # float32 (b,), nats, at temperature 1 of the model's own logits; not finite: no distribution
    top: tuple[tuple[tuple[int, float], ...], ...]  # of each row, as many as it wants


def draw(logits: Tensor, rows: Sequence[Row]) -> Drawn:
    """Draw a token for each row of logits (b, vocabulary), float32.

    The order: logit_bias and penalties; temperature; min_p, then top_k, then of what is left top_p. One wait for the
    device. Cost: O(b vocabulary), and a sort of the rows with min_p, top_k or top_p.
    """
    total = logits.logsumexp(-1)
    changed = _changed(logits, rows)
    greedy = [number for number, row in enumerate(rows) if row.drawing.temperature == 0]
    if len(greedy) == len(rows):
        tokens = changed.argmax(-1)
    else:
        tokens = torch.empty(len(rows), dtype=torch.int64, device=logits.device)
        cut = [number for number, row in enumerate(rows) if row.drawing.temperature and _cuts(row, logits.shape[1])]
        rest = sorted(set(range(len(rows))) - set(greedy) - set(cut))
        for numbers, how in ((greedy, _greedy), (rest, _whole), (cut, _cut)):
            if numbers:
                at = torch.tensor(numbers, device=logits.device)
                some = changed if len(numbers) == len(rows) else changed.index_select(0, at)
                tokens[at] = how(some, [rows[number] for number in numbers])
    logprobs = logits.gather(-1, tokens[:, None])[:, 0] - total
    tops = top(logits, total, [row.top for row in rows])
    both = torch.stack((tokens.double(), logprobs.double())).cpu().numpy()  # token ids are exact in float64
    return Drawn(both[0].astype(np.int64), both[1].astype(np.float32), tops)


def top(logits: Tensor, total: Tensor, counts: Sequence[int]) -> tuple[tuple[tuple[int, float], ...], ...]:
    """Return of each row of logits (b, vocabulary) the `counts` most likely tokens; total: logsumexp (b,)."""
    most = min(max(counts, default=0), logits.shape[1])
    if not most:
        return ((),) * len(counts)
    values, tokens = logits.topk(most, -1)
    pairs = zip(tokens.tolist(), (values - total[:, None]).tolist(), counts)
    return tuple(tuple(zip(ids[:count], found[:count])) for ids, found, count in pairs)


def _changed(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    """Return logits with biases and penalties; the same tensor where there are none."""
    at, tokens, change = [], [], []
    for number, row in enumerate(rows):
        for token, bias in row.drawing.logit_bias:
            at.append(number)
            tokens.append(token)
            change.append(bias)
        if row.drawn and (row.drawing.presence_penalty or row.drawing.frequency_penalty):
            there, times = np.unique(np.asarray(row.drawn, np.int64), return_counts=True)
            at += [number] * len(there)
            tokens += there.tolist()
            change += (-row.drawing.presence_penalty - row.drawing.frequency_penalty * times).tolist()
    if not at:
        return logits
    where = torch.tensor([at, tokens], device=logits.device)
    by = torch.tensor(change, dtype=logits.dtype, device=logits.device)
    return logits.index_put((where[0], where[1]), by, accumulate=True)


def _cuts(row: Row, vocabulary: int) -> bool:
    drawing = row.drawing
    return drawing.top_p < 1 or 0 < drawing.top_k < vocabulary or drawing.min_p > 0


def _greedy(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    return logits.argmax(-1)


def _whole(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    return _choose(_probabilities(logits, rows), rows)


def _cut(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    """Draw from what min_p, top_k and top_p (Holtzman et al. 2020) leave."""
    ordered, order = _probabilities(logits, rows).sort(dim=-1, descending=True, stable=True)
    min_p, top_p = (_column(ordered, [getattr(row.drawing, name) for row in rows]) for name in ("min_p", "top_p"))
    top_k = torch.tensor([row.drawing.top_k or ordered.shape[1] for row in rows], device=ordered.device)[:, None]
    ordered = ordered.masked_fill(ordered < min_p * ordered[:, :1], 0)
    ordered = ordered.masked_fill(torch.arange(ordered.shape[1], device=ordered.device) >= top_k, 0)
    mass = ordered.cumsum(-1, dtype=torch.float64)
    before = mass - ordered
    left = ordered.masked_fill((before >= top_p * ordered.sum(-1, keepdim=True, dtype=torch.float64)) & (top_p < 1), 0)
    return order.gather(-1, _choose(left, rows)[:, None])[:, 0]


def _probabilities(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    temperatures = torch.tensor([row.drawing.temperature for row in rows], dtype=logits.dtype, device=logits.device)
    return (logits / temperatures[:, None]).log_softmax(-1).exp()


def _choose(probabilities: Tensor, rows: Sequence[Row]) -> Tensor:
    """Look one number a row up in the cumulative distribution."""
    device = probabilities.device
    seeds = torch.tensor([_signed(row.drawing.seed) for row in rows], dtype=torch.int64, device=device)
    places = torch.tensor([len(row.drawn) for row in rows], dtype=torch.int64, device=device)
    cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    target = uniform(seeds, places)[:, None] * cumulative[:, -1:]
    # The first cell above the target, which is below the last one: never a token of probability 0.
    cells = torch.searchsorted(cumulative, target, right=True).clamp_(max=probabilities.shape[-1] - 1)
    return cells[:, 0]


def _signed(seed: int) -> int:
    """Return the 64 lowest bits as a signed number."""
    seed %= 2**64
    return seed - 2**64 if seed >= 2**63 else seed


def _column(like: Tensor, values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=like.device)[:, None]
