"""Matrix products: on a CPU in float32 by oneDNN, with weights laid out for it once.

Laid out so, a row's bits do not depend on how many rows there are: torch's own, by MKL, do below 4 rows. On the
machine it was chosen on, 2 to 64 rows of a large matrix took half to two thirds of torch's time, other matrices about
the same, and a single row of a small matrix up to half more.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

ROWS = 16  # that the layout is made for; others use the same one


@dataclass(frozen=True)
class Linear:
    """A linear layer; `key` is its name, by which adapters know it."""

    key: str
    weight: Tensor  # (out, in), or as oneDNN lays it out
    bias: Tensor | None = None  # (out,)
    packed: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """Return (t, out) of x (t, in)."""
        if self.packed:
            made: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
            return made
        return F.linear(x, self.weight, self.bias)


def linear(key: str, weight: Tensor, bias: Tensor | None = None) -> Linear:
    """Make a layer, its weight (out, in) laid out for where it is."""
    if packs(weight.dtype, weight.device):
        return Linear(key, torch.ops.mkldnn._reorder_linear_weight(weight, ROWS), bias, True)
    return Linear(key, weight, bias)


def packs(dtype: torch.dtype, device: torch.device) -> bool:
    """Tell whether weights are laid out for oneDNN. Its operators are torch's own, those that torch.compile calls."""
    return bool(device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available())
