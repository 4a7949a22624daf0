"""Log-probabilities of chosen tokens: logits are held once, and float32 only a chunk of rows at a time.

The gradient is written over the logits, chunk by chunk, as in Liger's fused cross entropy (arXiv:2410.10989, section
3.2), so that a backward pass needs no second (tokens x vocabulary).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

CHUNK = 1 << 22  # logits in float32 at once: 16 MiB, which a large vocabulary's row fits in many times


class TokenLogprobs(torch.autograd.Function):  # type: ignore[misc]
    """Log-probabilities of labels and candidates, and entropy, of a softmax over logits / temperature, in nats."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, labels: Tensor, candidates: Tensor | None, entropy: bool, temperature: float
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return float32 (m,), (m, k) and (m,), of logits (m, vocab), labels (m,) and candidates (m, k)."""
        rows, width = len(labels), 0 if candidates is None else candidates.shape[-1]
        chosen, normaliser = (logits.new_empty(rows, dtype=torch.float32) for _ in range(2))
        spread = logits.new_empty(rows, dtype=torch.float32) if entropy else None
        picked = None if candidates is None else logits.new_empty((rows, width), dtype=torch.float32)
        for part, scaled in _chunks(logits, temperature):
            total = scaled.logsumexp(-1)
            normaliser[part] = total
            chosen[part] = scaled.gather(-1, labels[part, None])[:, 0] - total
            if picked is not None and candidates is not None:
                picked[part] = scaled.gather(-1, candidates[part]) - total[:, None]
            if spread is not None:
                log_p = scaled - total[:, None]
                spread[part] = -(log_p.exp() * log_p).sum(-1)
        ctx.save_for_backward(logits, labels, candidates, normaliser, spread)
        ctx.temperature = temperature
        ctx.set_materialize_grads(False)
        return chosen, picked, spread

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(
        ctx: Any, of_chosen: Tensor | None, of_picked: Tensor | None, of_spread: Tensor | None
    ) -> tuple[Tensor | None, None, None, None, None]:
        """Return the gradient of the logits, written over them.

        d log p_y / dz = [y] - p;  d H / dz = -p (log p + H);  both / temperature.
        """
        logits, labels, candidates, normaliser, spread = ctx.saved_tensors
        for part, scaled in _chunks(logits, ctx.temperature):
            log_p = scaled - normaliser[part, None]
            p = log_p.exp()
            weight = torch.zeros_like(normaliser[part])
            if of_chosen is not None:
                weight += of_chosen[part]
            if of_picked is not None:
                weight += of_picked[part].sum(-1)
            if of_spread is not None:
                factor = weight[:, None] + of_spread[part, None] * log_p.add_(spread[part, None])
            else:
                factor = weight[:, None]
            gradient = p.mul_(factor).neg_()
            if of_chosen is not None:
                gradient.scatter_add_(-1, labels[part, None], of_chosen[part, None])
            if of_picked is not None:
                gradient.scatter_add_(-1, candidates[part], of_picked[part])
            logits[part] = gradient.div_(ctx.temperature) if ctx.temperature != 1 else gradient
        return logits, None, None, None, None


def token_logprobs(
    logits: Tensor, labels: Tensor, temperature: float, *, candidates: Tensor | None = None, entropy: bool = False
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return log-probabilities (m,), those of candidates (m, k) and the entropy (m,), float32, nats.

    logits: (m, vocab), of any floating type; in a backward pass they are overwritten, so nobody else may hold them.
    """
    return TokenLogprobs.apply(logits, labels, candidates, entropy, temperature)  # type: ignore[no-any-return]


def most_likely(logits: Tensor, temperature: float, k: int) -> tuple[Tensor, Tensor]:
    """Return the k most likely tokens, int64 (m, k), and their log-probabilities, float32 (m, k)."""
    tokens = logits.new_empty((len(logits), k), dtype=torch.int64)
    found = logits.new_empty((len(logits), k), dtype=torch.float32)
    for part, scaled in _chunks(logits, temperature):
        values, tokens[part] = scaled.topk(k, -1)
        found[part] = values - scaled.logsumexp(-1, keepdim=True)
    return tokens, found


def _chunks(logits: Tensor, temperature: float) -> Iterator[tuple[slice, Tensor]]:
    """Give rows, and logits / temperature of them in float32: the one place where temperature is applied."""
    step = max(1, CHUNK // logits.shape[-1])
    for first in range(0, len(logits), step):
        part = slice(first, first + step)
        scaled = logits[part].float()
        yield part, scaled / temperature if temperature != 1 else scaled
