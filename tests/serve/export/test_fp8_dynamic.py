"""FP8_DYNAMIC: names, shapes and bytes as compressed-tensors 0.20.1 writes them."""

from __future__ import annotations

import torch

from serve.export.fp8 import quantise_rows

# Computed by compressed-tensors 0.20.1 (calculate_qparams and quantize of FP8_DYNAMIC) for `golden_weight`.
GOLDEN_SCALES = [2.2202730178833008e-06, 0.002227783203125, 0.66015625, 0.0078125, 4.458427429199219e-05]
GOLDEN_BYTES = [
    0,
    126,
    238,
    253,
    118,
    123,
    250,
    249,
    124,
    115,
    254,
    232,
    126,
    228,
    254,
    114,
    124,
    248,
    250,
    123,
    119,
    253,
    240,
    126,
    0,
    128,
    0,
    0,
    128,
    128,
    0,
    0,
    252,
    244,
    125,
    107,
    254,
    95,
    126,
    241,
]


def golden_weight() -> torch.Tensor:
    """Return a weight with small, large, negative and no numbers in a row: bfloat16 (5, 8)."""
    grid = torch.arange(40, dtype=torch.float32).reshape(5, 8)
    weight = torch.sin(grid * 1.7) * torch.tensor([[1e-3], [1.0], [300.0], [0.0], [0.02]])
    return weight.bfloat16()


def test_against_bytes_of_compressed_tensors():
    made, scales = quantise_rows(golden_weight())
    assert scales.float().flatten().tolist() == GOLDEN_SCALES
    assert made.view(torch.uint8).flatten().tolist() == GOLDEN_BYTES
