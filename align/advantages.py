"""Advantages from rewards: group baselines, GAE, penalties and weights of on-policy methods.

Nothing here has gradients. What compares completions takes those of the whole global batch, gathered over data ranks:
a few numbers a sequence. `group` is int64 (n,), the same for completions of one prompt, in any order.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from align.errors import AlignSettingsError, RewardError
from align.losses.reduce import keep

Baseline = Literal["mean", "leave_one_out", "none"]
Scale = Literal["group", "batch", "none"]
MIN_DEVIATION = 1e-4  # added to what advantages are divided by, as in TRL
MIN_VARIANCE = 1e-8  # added in whitening, as in NeMo Aligner


def group_advantages(
    rewards: Tensor, group: Tensor, baseline: Baseline = "mean", scale: Scale = "group", eps: float = MIN_DEVIATION
) -> Tensor:
    """Return (n,) rewards less a baseline of their group, by a standard deviation (Shao et al. 2024, section 4.1.2).

    leave_one_out: the mean of the others (Kool et al. 2019; Ahmadian et al. 2024). scale: by the deviation of the
    group, or of all rewards; it is the unbiased one. Equal rewards give exactly 0 with a baseline. Raises RewardError
    where a reward is not finite, AlignSettingsError where a completion has no others to be compared with.
    """
    if not bool(torch.isfinite(rewards).all()):
        place = int((~torch.isfinite(rewards)).nonzero()[0])
        raise RewardError(f"reward {place} is {float(rewards[place])}: rewards are finite numbers")
    _, index, size = group.unique(return_inverse=True, return_counts=True)
    size = size[index].to(rewards.dtype)
    if baseline == "leave_one_out" and bool((size < 2).any()):
        raise AlignSettingsError("baseline leave_one_out needs at least 2 completions a prompt: set group_size")
    # From the lowest of the group: the mean of equal numbers can miss them by a rounding, the mean of zeros cannot.
    lowest = torch.full_like(rewards, torch.inf).scatter_reduce(0, index, rewards, "amin")[index]
    above = rewards - lowest
    total = _sums(above, index)
    mean = total / size
    variance = _sums((above - mean) ** 2, index) / (size - 1).clamp(min=1)
    if baseline == "mean":
        advantages = above - mean
    elif baseline == "leave_one_out":
        advantages = above - (total - above) / (size - 1)
    else:
        advantages = rewards
    if scale == "group":
        return advantages / (variance.sqrt() + eps)
    if scale == "batch":
        return advantages / (rewards.std() + eps) if len(rewards) > 1 else advantages / eps
    return advantages


def informative(rewards: Tensor, group: Tensor) -> Tensor:
    """Return bool (n,): whether the rewards of a completion's group differ (DAPO, Yu et al. 2025, section 3.2)."""
    _, index = group.unique(return_inverse=True)
    most = torch.full_like(rewards, -torch.inf).scatter_reduce(0, index, rewards, "amax")
    least = torch.full_like(rewards, torch.inf).scatter_reduce(0, index, rewards, "amin")
    return (most > least)[index]


def overlong_penalty(lengths: Tensor, max_tokens: int, overlong: int) -> Tensor:
    """Return (n,) 0 to -1: falling over the last `overlong` tokens before the limit (DAPO, equation 13); float32.

    lengths: int64 (n,) tokens of completions. overlong 0: no penalty.
    """
    if overlong == 0:
        return torch.zeros(lengths.shape)
    return ((max_tokens - overlong - lengths) / overlong).clamp(-1, 0)


def token_rewards(rewards: Tensor, kl: Tensor, mask: Tensor, weight: float) -> Tensor:
    """Return (n, t): -weight x kl (n, t) at each token of the mask, and a sequence's reward (n,) at its last.

    Ziegler et al. 2019, equation 2. A sequence without tokens gets nothing.
    """
    steps = torch.arange(mask.shape[1], device=mask.device)
    last = torch.where(mask, steps, -1).amax(1, keepdim=True)
    return keep(-weight * kl, mask) + torch.where(steps == last, rewards[:, None], 0)


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> tuple[Tensor, Tensor]:
    """Return advantages and returns, (n, t) each, 0 outside the mask (Schulman et al. 2016, equation 16).

    All (n, t). Tokens outside the mask are no actions: what follows them is carried to the action before, undiscounted
    (a tool's output between a model's turns). After the last action the value is 0.
    """
    next_value = torch.zeros_like(values[:, 0])
    carried = torch.zeros_like(next_value)
    advantages = torch.zeros_like(values)
    for step in reversed(range(values.shape[1])):
        here = mask[:, step]
        error = rewards[:, step] + gamma * next_value - values[:, step]
        carried = torch.where(here, error + gamma * lam * carried, carried)
        next_value = torch.where(here, values[:, step], next_value)
        advantages[:, step] = torch.where(here, carried, 0)
    return advantages, keep(advantages + values, mask)


def moments(values: Tensor, mask: Tensor) -> Tensor:
    """Return float64 (3,): count, sum and sum of squares over the mask; the sum over ranks is that of all."""
    kept = keep(values, mask).double()
    return torch.stack([mask.sum().double(), kept.sum(), (kept**2).sum()])


def whiten(values: Tensor, mask: Tensor, over: Tensor) -> Tensor:
    """Return values with mean 0 and variance 1 over all that `over` (moments) counts; 0 outside the mask."""
    count, total, squares = over.unbind()
    count = count.clamp(min=1)
    mean = total / count
    variance = (squares / count - mean**2).clamp(min=0)
    return keep(((values.double() - mean) * torch.rsqrt(variance + MIN_VARIANCE)).to(values.dtype), mask)


def truncated_importance(logprobs: Tensor, generated: Tensor, mask: Tensor, maximum: float = 2.0) -> Tensor:
    """Return (n, t) weights min(pi / mu, maximum) of tokens that other weights or another engine drew; 0 outside.

    Truncated importance sampling (Ionides 2008; Espeholt et al. 2018). logprobs: the trainer's, before its step;
    generated: the generator's.
    """
    return keep((logprobs - generated).exp().clamp(max=maximum), mask)


def _sums(values: Tensor, index: Tensor) -> Tensor:
    """Return (n,) the sum of values over each one's group."""
    return torch.zeros_like(values).index_add(0, index, values)[index]
