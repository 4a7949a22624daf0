"""Rotary positions (Su et al. 2021), with Llama 3.1's stretching of frequencies."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pretrain.config import Model


def frequencies(model: Model, device: torch.device) -> Tensor:
    """Return the angles a position adds, in radians: float32 (head size / 2,).

    Stretched as Hugging Face's rope_type "llama3" does: wavelengths over original_positions / low_freq_factor are
    multiplied by `factor`, those under original_positions / high_freq_factor are left, and between them it is mixed.
    """
    steps = torch.arange(0, model.head_size, 2, dtype=torch.int64, device=device).float() / model.head_size
    found = 1.0 / (model.rope_theta**steps)
    scaling = model.rope_scaling
    if scaling is None:
        return found
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    share = (scaling.original_positions * found / (2 * math.pi) - low) / (high - low)  # 0: all stretched, 1: none
    share = share.clamp(0, 1)
    return (1 - share) * found / scaling.factor + share * found


def rotate(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn heads (tokens, groups, heads, size), number i with i + size / 2, by angles of (tokens, 1, 1, size / 2)."""
    first, second = heads.chunk(2, -1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), -1)
