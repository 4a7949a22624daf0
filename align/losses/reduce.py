"""Sums over a micro-batch and denominators over the global batch, kept apart.

`counts` are of the whole global batch, over all micro-batches and ranks: so the losses of the parts add up to the loss
of the whole, however it was split. Masked entries may hold anything, NaN and infinity too, and get gradient 0. A mask
has the shape of what it masks, or that of its first dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Counts = Mapping[str, float]


def keep(values: Tensor, mask: Tensor) -> Tensor:
    """Return values where the mask is True, and 0 elsewhere."""
    wide = mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim))
    return torch.where(wide, values, 0)


def sequence_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Return (n,) sums of (n, t) values over the tokens of each sequence."""
    return keep(values, mask).sum(1)


def sequence_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return (n,) means of (n, t) values over the tokens of each sequence; 0 where it has none."""
    return sequence_sum(values, mask) / mask.sum(1).clamp(min=1)


def share(values: Tensor, mask: Tensor, count: float) -> Tensor:
    """Return the sum of values over the mask by a global count; 0 where nothing is counted anywhere."""
    return keep(values, mask).sum() / max(count, 1.0)


def by_tokens(values: Tensor, mask: Tensor, counts: Counts) -> Tensor:
    """Weigh all tokens of the global batch alike: SFT, PPO, BNPO, DAPO (Yu et al. 2025, equation 12), CISPO."""
    return share(values, mask, counts["tokens"])


def by_sequences(values: Tensor, mask: Tensor, counts: Counts) -> Tensor:
    """Weigh all sequences alike, and the tokens of each: GRPO (Shao et al. 2024, equation 3), GSPO."""
    return share(sequence_mean(values, mask), torch.ones_like(mask[:, 0]), counts["sequences"])


def by_max_tokens(values: Tensor, mask: Tensor, counts: Counts) -> Tensor:
    """Divide by sequences times the longest allowed: Dr. GRPO (Liu et al. 2025), without a bias by length."""
    return share(values, mask, counts["max_tokens"])


def sums_by_sequences(values: Tensor, mask: Tensor, counts: Counts) -> Tensor:
    """Weigh sequences by their whole sums: REINFORCE, where a completion is one action."""
    return share(values, mask, counts["sequences"])


NORMALISED_BY: dict[str, Callable[[Tensor, Tensor, Counts], Tensor]] = {
    "grpo": by_sequences, "gspo": by_sequences, "bnpo": by_tokens, "dapo": by_tokens, "cispo": by_tokens,
    "dr_grpo": by_max_tokens,
}  # fmt: skip


def metric(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return (sum, count) over the mask, detached, in float32 at least."""
    kept = keep(values.detach(), mask)
    kept = kept if kept.is_floating_point() else kept.float()
    return kept.sum(), mask.sum()
