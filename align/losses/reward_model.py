"""Losses of reward models, from scores."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def bradley_terry(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Score the chosen side higher (Bradley & Terry 1952; Ouyang et al. 2022, equation 1). (p,) each."""
    return -F.logsigmoid(chosen - rejected)


def bradley_terry_margin(chosen: Tensor, rejected: Tensor, margin: Tensor) -> Tensor:
    """Score the chosen side higher by a margin that grows with the preference (Touvron et al. 2023, equation 2)."""
    return -F.logsigmoid(chosen - rejected - margin)


def bradley_terry_scaled(chosen: Tensor, rejected: Tensor, margin: Tensor) -> Tensor:
    """Weigh pairs by how strong the preference is (Wang et al. 2024, HelpSteer2-Preference, equation 3)."""
    return margin * bradley_terry(chosen, rejected)


def regression(scores: Tensor, attributes: Tensor) -> Tensor:
    """Return (n, k) squared errors of scores (n, k); 0 where an attribute is NaN: not rated (Wang et al. 2024)."""
    rated = ~torch.isnan(attributes)
    wanted = torch.where(rated, attributes, 0.0)
    return torch.where(rated, (scores - wanted) ** 2, 0.0)


def centring(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Return (p,) what pulls a pair's scores to a mean of 0 (Eisenstein et al. 2023)."""
    return (chosen + rejected) ** 2
