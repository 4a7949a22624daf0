"""Lines of a made-up run, as a training loop would write them."""

from __future__ import annotations

import dataclasses
from typing import Any

from pretrain.run.log import StepLine, ValidationLine


def step_line(step: int, **changed: Any) -> StepLine:
    made = StepLine(
        step=step, rows=4 * step, tokens=500 * step, loss=10 / (1 + 0.01 * step), grad_norm=0.5 + 1 / step, lr=3e-4,
        seconds=0.25, train_seconds=0.2, data_seconds=0.01, save_seconds=0.0, validation_seconds=0.0,
        tokens_per_second=2000.0 + step, mfu=0.4, memory_bytes=10**9 + step,
    )  # fmt: skip
    return dataclasses.replace(made, **changed)


def validation_line(step: int, **changed: Any) -> ValidationLine:
    made = ValidationLine(step=step, validation_loss=9 / (1 + 0.01 * step), tokens=900, seconds=0.5)
    return dataclasses.replace(made, **changed)
