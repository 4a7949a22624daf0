"""Batches and outputs of a model for tests of objectives, one sequence a row."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from align.batch import TokenBatch
from align.policy import Outputs


def token_batch(mask: Any, example: Any = None, **fields: Any) -> TokenBatch:
    """Return a batch of (n, t) masked tokens; by default each sequence is an example of its own."""
    mask = torch.as_tensor(mask, dtype=torch.bool)
    n, t = mask.shape
    zeros = torch.zeros(n, t + 1, dtype=torch.int64)
    return TokenBatch(
        tokens=zeros,
        positions=torch.arange(t + 1).repeat(n, 1),
        cu_seqlens=torch.arange(n + 1, dtype=torch.int32) * (t + 1),
        starts=torch.arange(n) * (t + 1),
        lengths=torch.full((n,), t + 1),
        labels=zeros[:, 1:],
        mask=mask,
        example=torch.arange(n) if example is None else torch.as_tensor(example),
        fields={name: torch.as_tensor(value) for name, value in fields.items()},
    )


def float64(values: Any) -> Tensor:
    """Return a leaf that gathers gradients."""
    return torch.tensor(values, dtype=torch.float64).requires_grad_()


def gradient(loss: Any, batch: TokenBatch, counts: dict[str, float], **outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return an objective's loss and its gradient for the one output given."""
    (given,) = outputs.values()
    value, _ = loss(Outputs(**outputs), batch, counts)
    (found,) = torch.autograd.grad(value, [given])
    return value.detach(), found


def exact(found: Tensor, expected: Any, rtol: float = 1e-12, atol: float = 1e-14) -> None:
    """Assert that float64 numbers agree but for the last digits."""
    expected = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(found.detach(), expected, rtol=rtol, atol=atol)
