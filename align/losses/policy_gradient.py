"""Losses of policies and critics that learn from completions of their own. All tensors are (n, t), losses too.

`ratio` is pi(token) / pi_old(token). What stands outside the mask must be finite, and comes to nothing in `reduce`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from align.losses import reduce

KlKind = Literal["k1", "k2", "k3", "abs"]
BOUND = 20.0  # of log-ratios, before exp: e^20 is finite in all precisions; beyond it the gradient is 0, not infinite


def token_ratio(logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """Return the probability ratio of each token."""
    return (logprobs - old_logprobs).clamp(-BOUND, BOUND).exp()


def sequence_ratio(logprobs: Tensor, old_logprobs: Tensor, mask: Tensor) -> Tensor:
    """Return at each token its sequence's ratio, the geometric mean of the tokens' (GSPO, Zheng et al. 2025, eq. 7)."""
    mean = reduce.sequence_mean(logprobs - old_logprobs, mask)
    return mean.clamp(-BOUND, BOUND).exp()[:, None].expand_as(logprobs)


def clipped(ratio: Tensor, advantages: Tensor, low: float, high: float, dual: float = 0.0) -> Tensor:
    """Gain advantage while ratios stay in [1 - low, 1 + high] (PPO, Schulman et al. 2017, equation 7).

    low < high is DAPO's "clip-higher" (Yu et al. 2025, section 3.1). dual > 1 bounds the loss of negative advantages
    by -A x dual (Ye et al. 2020); 0: no bound.
    """
    loss = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - low, 1 + high))
    if dual:
        loss = torch.where(advantages < 0, torch.minimum(loss, -advantages * dual), loss)
    return loss


def cispo(logprobs: Tensor, ratio: Tensor, advantages: Tensor, high: float) -> Tensor:
    """Weigh REINFORCE by ratios bounded by 1 + high: every token keeps a gradient (MiniMax-M1 2025, equation 4)."""
    return -ratio.detach().clamp(max=1 + high) * advantages * logprobs


def reinforce(logprobs: Tensor, advantages: Tensor) -> Tensor:
    """Make what was better than its baseline likelier (Williams 1992)."""
    return -advantages * logprobs


def clipped_sides(ratio: Tensor, advantages: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Return bool: tokens without gradient because of their ratio, below 1 - low and above 1 + high."""
    return (advantages < 0) & (ratio < 1 - low), (advantages > 0) & (ratio > 1 + high)


def value(values: Tensor, returns: Tensor, old_values: Tensor, clip: float = 0.0) -> Tensor:
    """Return squared errors of a critic, the larger of two where its step is clipped to +-clip; 0: not clipped.

    Schulman et al. 2017's code; without the customary 1/2, which is the weight.
    """
    loss = (values - returns) ** 2
    if clip:
        near = old_values + (values - old_values).clamp(-clip, clip)
        loss = torch.maximum(loss, (near - returns) ** 2)
    return loss


def kl(
    logprobs: Tensor, reference: Tensor, kind: KlKind, log_ratio_bound: float = BOUND, bound: float | None = None
) -> Tensor:
    """Estimate KL(policy || reference) at tokens that the policy drew (Schulman 2020, "Approximating KL divergence").

    k1 is unbiased, k2 and k3 are never negative, k3 both; abs: |k1|, as NeMo Aligner. log_ratio_bound: of the
    log-ratio; bound: of the estimate, if any.
    """
    log_ratio = (logprobs - reference).clamp(-log_ratio_bound, log_ratio_bound)
    if kind == "k1":
        estimate = log_ratio
    elif kind == "k2":
        estimate = log_ratio**2 / 2
    elif kind == "k3":
        estimate = torch.expm1(-log_ratio) + log_ratio  # e^x - 1 without its loss of digits near 0
    else:
        estimate = log_ratio.abs()
    return estimate if bound is None else estimate.clamp(-bound, bound)
