"""What an alignment run writes down of each step, through the same log, console and boards as pretraining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from align.config import Config
from millrace.progress import Progress
from pretrain.run.console import Console
from pretrain.run.log import LogFiles
from pretrain.run.watch import Sink


@dataclass(frozen=True)
class AlignLine:
    """One step."""

    step: int  # of the run, from 1
    tokens: int  # learnt up to here
    metrics: Mapping[str, float]  # of the method: loss, grad_norm, lr, reward, kl, ...
    seconds: float
    tokens_per_second: float  # learnt
    memory_bytes: int  # the most this process (CPU) or device (GPU) has held
    skipped: bool = False  # an update was not finite


@dataclass(frozen=True)
class AlignValidation:
    """A validation after a step."""

    step: int
    metrics: Mapping[str, float]
    seconds: float


def open_sinks(folder: str, config: Config, steps: int, restored: int, progress: Progress) -> list[Sink]:
    """Open log files and console, on the logging rank alone."""
    return [LogFiles(folder, restored), Console(progress, steps, config.watch.log_every, restored)]  # type: ignore[list-item]
