"""Losses of pairs and of labels, from log-probabilities of whole sequences, in nats.

`gap` is (p,): the chosen side's log-ratio less the rejected side's, where a log-ratio is log pi(y|x) - log pi_ref(y|x),
summed over a completion's tokens or averaged. Losses are (p,).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SUREST = -1e-6  # nats: nearer to 0, odds are those of this; float32 has no digits left to tell them apart


def dpo(gap: Tensor, beta: float) -> Tensor:
    """Rate the chosen side higher (Rafailov et al. 2023, equation 7): log 2 where policy and reference are one."""
    return -F.logsigmoid(beta * gap)


def cdpo(gap: Tensor, beta: float, label_smoothing: float) -> Tensor:
    """Allow that a share of labels is flipped: DPO with smoothed labels (Mitchell 2023)."""
    return -(1 - label_smoothing) * F.logsigmoid(beta * gap) - label_smoothing * F.logsigmoid(-beta * gap)


def robust(gap: Tensor, beta: float, label_smoothing: float) -> Tensor:
    """Debias DPO of a share of flipped labels, below a half (Chowdhury et al. 2024)."""
    kept, flipped = -F.logsigmoid(beta * gap), -F.logsigmoid(-beta * gap)
    return ((1 - label_smoothing) * kept - label_smoothing * flipped) / (1 - 2 * label_smoothing)


def ipo(gap: Tensor, beta: float) -> Tensor:
    """Regress the gap to 1 / (2 beta) (Azar et al. 2023, equation 17); its authors average over tokens."""
    return (gap - 1 / (2 * beta)) ** 2


def hinge(gap: Tensor, beta: float) -> Tensor:
    """Ask for a margin of 1 between implied rewards (SLiC, Zhao et al. 2023; as in Liu et al. 2023)."""
    return torch.relu(1 - beta * gap)


def rpo_sq(gap: Tensor, beta: float, reward_gap: Tensor) -> Tensor:
    """Regress the gap of implied rewards to that of given ones, (p,) (Adler et al. 2024; Sun et al. 2025)."""
    return (beta * gap - reward_gap) ** 2


def rpo_bwd_kl(gap: Tensor, beta: float, reward_gap: Tensor) -> Tensor:
    """Return KL(given || implied) of the preferences that reward gaps (p,) amount to (Adler et al. 2024, 3.3.2)."""
    return _bernoulli_kl(reward_gap, beta * gap)


def rpo_fwd_kl(gap: Tensor, beta: float, reward_gap: Tensor) -> Tensor:
    """Return KL(implied || given) of the preferences that reward gaps (p,) amount to (Sun et al. 2025)."""
    return _bernoulli_kl(beta * gap, reward_gap)


def simpo(gap: Tensor, beta: float, gamma: float) -> Tensor:
    """Ask for a margin between average log-probabilities (Meng et al. 2024, equation 6); no reference."""
    return -F.logsigmoid(beta * gap - gamma)


def orpo(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """Learn the chosen side, at better odds (Hong et al. 2024, equations 6 and 7).

    chosen, rejected: (p,) average log-probabilities of a token, not above 0; no reference.
    """
    return -chosen - beta * F.logsigmoid(_log_odds(chosen) - _log_odds(rejected))


def kto(
    log_ratio: Tensor, desirable: Tensor, baseline: Tensor, beta: float, weights: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    """Weigh gains and losses against a reference point (Ethayarajh et al. 2024, section 4.1).

    log_ratio, desirable (bool), baseline: (n,); weights: of desirable and undesirable sequences. Returns (n,).
    """
    good = desirable.to(log_ratio.dtype)
    weight = weights[0] * good + weights[1] * (1 - good)
    return weight * torch.sigmoid(-(2 * good - 1) * beta * (log_ratio - baseline))  # 1 - sigmoid(x) = sigmoid(-x)


def kto_baseline(log_ratio: Tensor) -> Tensor:
    """Return KTO's reference point, a scalar without gradient: max(0, mean log-ratio of mismatched completions).

    log_ratio: (n,), of completions that answer another prompt, of the whole global batch.
    """
    return log_ratio.detach().mean().clamp(min=0)


def _bernoulli_kl(p: Tensor, q: Tensor) -> Tensor:
    """Return KL(Bernoulli(sigmoid p) || Bernoulli(sigmoid q))."""
    yes = torch.sigmoid(p) * (F.logsigmoid(p) - F.logsigmoid(q))
    return yes + torch.sigmoid(-p) * (F.logsigmoid(-p) - F.logsigmoid(-q))


def _log_odds(logprob: Tensor) -> Tensor:
    """Return log(P / (1 - P)), finite also where P rounds to 1."""
    below = logprob.clamp(max=SUREST)
    return below - torch.log(-torch.expm1(below))
