"""Numbers of eight bits, E4M3 (Micikevicius et al. 2022): rows of a weight scaled to them, and back.

The arithmetic is compressed-tensors' (0.20.1), in bfloat16, so that the bytes are the same: the scale of an output
channel is the largest absolute weight of its row divided by 448, and weights are divided by it.
"""

from __future__ import annotations

import functools
from typing import Any

LARGEST = 448.0  # of E4M3; more would be NaN


def quantise_rows(weight: Any) -> tuple[Any, Any]:
    """Return (weight as float8_e4m3fn, scales (rows, 1) in bfloat16) of a weight (rows, columns) in bfloat16.

    A row of zeros has bfloat16's epsilon as its scale. A number that is not finite makes its row NaN or 0. Memory: the
    result. Cost: one core, see benchmarks/results/export_speed.md.
    """
    import torch

    from serve.export.fp8_kernel import quantise

    made = torch.empty(weight.shape, dtype=torch.float8_e4m3fn)
    scales = torch.empty(len(weight), 1, dtype=torch.bfloat16)
    quantise(
        weight.contiguous().view(torch.uint16).numpy(), _table(), made.view(torch.uint8).numpy(),
        scales.view(torch.uint16).numpy()[:, 0],
    )  # fmt: skip
    return made, scales


@functools.cache
def _table() -> Any:
    """Return what each bfloat16, by its bits, is in E4M3: uint8 (65536,). Past 448 it is 448, as clamping makes it."""
    import torch

    every = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    return every.clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn).view(torch.uint8).numpy()


def dequantise_rows(weight: Any, scales: Any) -> Any:
    """Return the numbers that a weight (rows, columns) of E4M3 stands for, in float32."""
    return weight.float() * scales.float()


def per_token(inputs: Any) -> Any:
    """Return inputs (..., columns) as a layer with dynamic activations sees them: each token scaled to E4M3."""
    import torch

    scale = inputs.abs().amax(-1, keepdim=True) / LARGEST
    scale = torch.where(scale == 0, torch.finfo(inputs.dtype).eps, scale)
    return (inputs / scale).clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn).to(inputs.dtype) * scale
