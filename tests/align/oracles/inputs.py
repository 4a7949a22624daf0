"""Inputs of the golden values, by a formula: no generator of random numbers, whose versions differ, is asked.

Number i (from 1) of a block is low + (high - low) x frac(i x golden ratio + shift): evenly spread, without pattern.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parents[2] / "golden" / "align"
RATIO = (5**0.5 - 1) / 2


def spread(low: float, high: float, *shape: int, shift: float = 0.0) -> np.ndarray:
    """Return float64 numbers of a shape."""
    steps = np.arange(1, int(np.prod(shape)) + 1, dtype=np.float64)
    return (low + (high - low) * np.modf(steps * RATIO + shift)[0]).reshape(shape)


def policy_inputs() -> dict[str, np.ndarray]:
    """Return four sequences of seven tokens: of other lengths, one with a hole in its mask, ratios far from 1."""
    mask = np.arange(7)[None, :] < np.array([7, 5, 3, 6])[:, None]
    mask[0, 3] = False  # a token that the policy did not draw
    logprobs = spread(-3.0, -0.01, 4, 7)
    return {
        "logprobs": logprobs,
        "old_logprobs": logprobs + spread(-0.7, 0.7, 4, 7, shift=0.3),
        "reference_logprobs": logprobs + spread(-0.9, 0.9, 4, 7, shift=0.6),
        "importance": spread(0.2, 2.0, 4, 7, shift=0.1),
        "advantages": np.array([1.25, -0.75, 0.5, -1.5]),
        "mask": mask,
    }


def pair_inputs() -> dict[str, np.ndarray]:
    """Return four pairs of seven tokens: rows 0 to 3 chosen, 4 to 7 rejected."""
    lengths = np.array([7, 5, 3, 6, 4, 7, 2, 6])
    logprobs = spread(-3.0, -0.01, 8, 7, shift=0.2)
    return {
        "logprobs": logprobs,
        "reference_logprobs": logprobs + spread(-1.5, 1.5, 8, 7, shift=0.5),
        "mask": np.arange(7)[None, :] < lengths[:, None],
    }


def write(name: str, values: Any) -> None:
    """Write golden values, numbers with all their digits."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / name).write_text(json.dumps(plain(values)) + "\n")


def read(name: str) -> Any:
    """Read golden values."""
    return json.loads((GOLDEN / name).read_text())


def plain(values: Any) -> Any:
    """Return lists and numbers of nested arrays."""
    if isinstance(values, dict):
        return {key: plain(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [plain(value) for value in values]
    return values.tolist() if hasattr(values, "tolist") else values
