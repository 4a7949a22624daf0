"""Numbers of eight bits, E4M3 (Micikevicius et al. 2022): rows of a weight scaled to them, and back.

The arithmetic is compressed-tensors' (0.20.1), in the weight's own type, so that the bytes are the same: the scale of
an output channel is the largest absolute weight of its row divided by 448, and weights are divided by it.
"""

from __future__ import annotations

from typing import Any

LARGEST = 448.0  # of E4M3; more would be NaN
CHUNK = 1 << 17  # numbers that are worked on at once: what a core's own cache holds


def quantise_rows(weight: Any) -> tuple[Any, Any]:
    """Return (weight as float8_e4m3fn, scales (rows, 1) in the weight's type) of a weight (rows, columns).

    A row of zeros has the type's epsilon as its scale. A number that is not finite gives NaN. Memory: the result.
    """
    import torch

    rows, columns = weight.shape
    made = torch.empty(rows, columns, dtype=torch.float8_e4m3fn)
    scales = torch.empty(rows, 1, dtype=weight.dtype)
    step = max(1, CHUNK // max(1, columns))
    work = torch.empty(min(step, rows), columns, dtype=weight.dtype)
    for first in range(0, rows, step):
        part, scale = weight[first : first + step], scales[first : first + step]
        room = work[: len(part)]
        torch.abs(part, out=room)
        torch.div(room.amax(-1, keepdim=True), LARGEST, out=scale)
        scale[scale == 0] = torch.finfo(weight.dtype).eps
        torch.div(part, scale, out=room)
        made[first : first + step].copy_(room.clamp_(-LARGEST, LARGEST))
    return made, scales


def dequantise_rows(weight: Any, scales: Any) -> Any:
    """Return the numbers that a weight (rows, columns) of E4M3 stands for, in float32."""
    return weight.float() * scales.float()


def per_token(inputs: Any) -> Any:
    """Return inputs (..., columns) as a layer with dynamic activations sees them: each token scaled to E4M3."""
    import torch

    scale = inputs.abs().amax(-1, keepdim=True) / LARGEST
    scale = torch.where(scale == 0, torch.finfo(inputs.dtype).eps, scale)
    return (inputs / scale).clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn).to(inputs.dtype) * scale
