"""Where a step's seconds go, and what they were worth: tokens a second, MFU, memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Part = Literal["train", "data", "save", "validation"]


@dataclass(frozen=True)
class Timing:
    """One step, as StepLine names it."""

    seconds: float
    train_seconds: float
    data_seconds: float
    save_seconds: float
    validation_seconds: float
    tokens_per_second: float
    mfu: float | None


class Meter:
    """A stopwatch that is read once a step.

    flops_per_token: of forward and backward passes, without recomputation (PaLM, appendix B). peak_flops: FLOP/s
    of one device, None where unknown; devices: of all ranks.
    """

    def __init__(
        self,
        flops_per_token: float,
        peak_flops: float | None,
        devices: int,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self._flops_share = flops_per_token / (peak_flops * devices) if peak_flops else None
        self._clock = clock
        self._spent: dict[Part, float] = {}
        self._since = clock()

    @contextmanager
    def spending(self, part: Part) -> Iterator[None]:
        """Count the seconds of a block as spent on a part of the step. On a GPU the block must end in a wait for it."""
        began = self._clock()
        try:
            yield
        finally:
            self._spent[part] = self._spent.get(part, 0.0) + self._clock() - began

    def step(self, tokens: int) -> Timing:
        """Return where the seconds since the last reading went, for a step of so many labels over all ranks.

        A save or a validation counts for the step whose reading follows it. Seconds of no part, such as those of
        logging, are in `seconds` alone.
        """
        now = self._clock()
        spent, seconds = self._spent, now - self._since
        self._spent, self._since = {}, now
        busy = spent.get("train", 0.0) + spent.get("data", 0.0)
        speed = tokens / busy if busy > 0 else 0.0
        return Timing(
            seconds=seconds,
            train_seconds=spent.get("train", 0.0),
            data_seconds=spent.get("data", 0.0),
            save_seconds=spent.get("save", 0.0),
            validation_seconds=spent.get("validation", 0.0),
            tokens_per_second=speed,
            mfu=None if self._flops_share is None else speed * self._flops_share,
        )


def memory_bytes(device: str) -> int:
    """Return the most memory that torch has held on this "cuda" device, or this process on "cpu"."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "linux":  # ru_maxrss starts at what the parent had held
        return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
