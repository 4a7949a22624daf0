"""Norms for layers without Transformer Engine, allowed under sequence parallelism."""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.transformer.transformer_config import TransformerConfig


class HeadNorm:
    """torch's RMSNorm or LayerNorm over the last dimension, of single heads' queries and keys.

    A class for what is a function: Megatron takes a function in a layer's spec for a module already built.
    """

    def __new__(cls, config: TransformerConfig, hidden_size: int, eps: float = 1e-5, **_: Any) -> torch.nn.Module:
        kind = torch.nn.RMSNorm if config.normalization == "RMSNorm" else torch.nn.LayerNorm
        return kind(hidden_size, eps=eps, device=torch.cuda.current_device(), dtype=config.params_dtype)


class Norm:
    """The same, of hidden states.

    Under sequence parallelism each tensor-parallel rank norms its part of the sequence, so the gradients of
    the weights are parts of a sum: the mark makes Megatron add them up. Its own wrapper refuses instead.
    """

    def __new__(cls, config: TransformerConfig, hidden_size: int, eps: float = 1e-5, **_: Any) -> torch.nn.Module:
        made = HeadNorm(config, hidden_size, eps)
        for parameter in made.parameters():
            parameter.sequence_parallel = config.sequence_parallel
        return made
