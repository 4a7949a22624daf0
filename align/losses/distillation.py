"""Divergences of a student from a teacher, over the same k candidate tokens."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Divergence = Literal["forward", "backward", "jsd"]


def distillation(
    student: Tensor, teacher: Tensor, divergence: Divergence = "forward", mix: float = 0.5, temperature: float = 1.0
) -> Tensor:
    """Return (...) divergences of distributions renormalised over candidates.

    student, teacher: (..., k) finite log-probabilities or logits of the same tokens, at temperature 1; k may be the
    whole vocabulary.

    * forward   KL(teacher || student) (Hinton et al. 2015, without the factor T^2)
    * backward  KL(student || teacher) (Gu et al. 2024)
    * jsd       mix x KL(teacher || m) + (1 - mix) x KL(student || m), m = mix x teacher + (1 - mix) x student; forward
                at mix 0 and backward at 1, its limits over mix and 1 - mix (Agarwal et al. 2024, equation 1)
    """
    p, q = (torch.log_softmax(one / temperature, -1) for one in (teacher, student))
    if divergence == "forward" or (divergence == "jsd" and mix == 0):
        return _kl(p, q)
    if divergence == "backward" or mix == 1:
        return _kl(q, p)
    mixture = torch.logaddexp(p + math.log(mix), q + math.log1p(-mix))
    return mix * _kl(p, mixture) + (1 - mix) * _kl(q, mixture)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """Return KL(p || q) of log-probabilities over the last dimension."""
    return (p.exp() * (p - q)).sum(-1)
