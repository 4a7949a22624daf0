"""Log-probabilities from logits that tensor parallelism cut along the vocabulary, which no rank gathers.

Of a token only a few numbers pass between ranks: the maximum, the sum of exponentials, the logits that were asked for.
Float32 copies are made of a chunk of tokens at a time, forwards and backwards; logits are kept as the model gave them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from megatron.core import parallel_state
from torch import Tensor
from torch.distributed import ReduceOp, all_gather, all_reduce

CHUNK = 1 << 24  # float32 numbers of a chunk: 64 MB, and its gradient as much


def logprobs(
    logits: Tensor, cells: Tensor, targets: Tensor, temperature: float = 1.0, entropy: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Return log-probabilities (m, k) of targets at cells, and entropies (m,): float32, nats, with gradients.

    logits (N, vocabulary of this rank); cells int64 (m,), each once; targets int64 (m, k), of the whole vocabulary.
    The distribution is that of logits / temperature. Logits of -inf have no probability and no gradient, and make no
    NaN. All tensor-parallel ranks call it alike, and get the same numbers.
    """
    norm, picked, mean = _Statistics.apply(logits, cells, targets, temperature, entropy)
    return picked - norm[:, None], norm - mean if entropy else None


@torch.no_grad()
def most_likely(logits: Tensor, cells: Tensor, count: int, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return the `count` most likely tokens at cells, int64 (m, count), and their log-probabilities, float32."""
    group, width = parallel_state.get_tensor_model_parallel_group(), logits.shape[1]
    found = []
    for low, high in _chunks(len(cells), width):
        values, ids = logits[cells[low:high]].float().topk(min(count, width))
        ids += group.rank() * width
        parts = [_gathered(part, group) for part in (values, ids)]
        best = parts[0].topk(count)[1]  # (m, ranks x count) -> (m, count)
        found.append(parts[1].gather(1, best))
    tokens = torch.cat(found) if found else torch.empty(0, count, dtype=torch.int64, device=logits.device)
    return tokens, logprobs(logits, cells, tokens, temperature)[0]


def _gathered(part: Tensor, group: Any) -> Tensor:
    if group.size() == 1:
        return part
    parts = [torch.empty_like(part) for _ in range(group.size())]
    all_gather(parts, part.contiguous(), group=group)
    return torch.cat(parts, 1)


def _chunks(rows: int, width: int) -> Iterator[tuple[int, int]]:
    step = max(1, CHUNK // width)
    for low in range(0, rows, step):
        yield low, min(low + step, rows)


class _Statistics(torch.autograd.Function):
    """Of each cell: log of the sum of exponentials, the targets' logits, the mean logit under the distribution."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, cells: Tensor, targets: Tensor, temperature: float, entropy: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        group, width = parallel_state.get_tensor_model_parallel_group(), logits.shape[1]
        several = group.size() > 1
        local = targets - group.rank() * width
        norm = torch.empty(len(cells), dtype=torch.float32, device=logits.device)
        mean, picked = torch.zeros_like(norm), torch.empty(targets.shape, dtype=torch.float32, device=logits.device)
        for low, high in _chunks(len(cells), width):
            x = _scaled(logits, cells[low:high], temperature)
            highest = x.amax(1)
            if several:
                all_reduce(highest, ReduceOp.MAX, group)
            mass = (x - highest[:, None]).exp_()
            here = local[low:high]
            own = (here >= 0) & (here < width)
            sums = [mass.sum(1), (mass * x).sum(1) if entropy else highest * 0]
            shared = torch.cat([torch.stack(sums, 1), x.gather(1, here.clamp(0, width - 1)) * own], 1)
            if several:
                all_reduce(shared, group=group)
            norm[low:high] = highest + shared[:, 0].log()
            mean[low:high] = shared[:, 1] / shared[:, 0]
            picked[low:high] = shared[:, 2:]
        ctx.save_for_backward(logits, cells, local, norm, mean)
        ctx.temperature, ctx.entropy = temperature, entropy
        return norm, picked, mean

    @staticmethod
    def backward(ctx: Any, to_norm: Tensor, to_picked: Tensor, to_mean: Tensor) -> tuple[Tensor | None, ...]:
        logits, cells, local, norm, mean = ctx.saved_tensors
        width, grads = logits.shape[1], torch.zeros_like(logits)
        for low, high in _chunks(len(cells), width):
            x = _scaled(logits, cells[low:high], ctx.temperature)
            mass = (x - norm[low:high, None]).exp_()
            weight = to_norm[low:high]
            if ctx.entropy:  # d mean / d x = p (1 + x - mean)
                weight = weight + to_mean[low:high] * (1 - mean[low:high])
                grad = mass * weight[:, None] + (mass * x) * to_mean[low:high, None]
            else:
                grad = mass * weight[:, None]
            here = local[low:high]
            own = (here >= 0) & (here < width)
            grad.scatter_add_(1, here.clamp(0, width - 1), to_picked[low:high] * own)
            grads[cells[low:high]] = grad.div_(ctx.temperature).to(grads.dtype)
        return grads, None, None, None, None


def _scaled(logits: Tensor, cells: Tensor, temperature: float) -> Tensor:
    """Return float32 logits / temperature of some cells; -inf becomes the lowest finite number, for 0 x -inf is NaN."""
    x = logits[cells].float()
    if temperature != 1:
        x.div_(temperature)
    return x.clamp_(min=torch.finfo(torch.float32).min)
