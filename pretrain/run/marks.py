"""How far a rank is: its step and phase, marked by the loop, read by the watchdog and for stragglers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

Phase = Literal["start", "data", "forward_backward", "optimizer", "checkpoint", "validation"]


class Marks:
    """The progress of this rank's main thread. All ranks make the same marks in the same order."""

    def __init__(self) -> None:
        self.step = 0
        self.phase: Phase = "start"
        self.steps_begun = 0  # by this process
        self.count = 0  # of marks in this step: tells which of two ranks is ahead within it
        self.moved = time.monotonic()  # seconds, when the last mark was made
        self.over = False  # training, not what follows
        self._cpu = time.thread_time()
        self._own = 0.0
        self.on_step: list[Callable[[], None]] = []  # called when a step begins

    def mark(self, step: int, phase: Phase) -> None:
        """Say that `phase` of `step` (from 1) begins. Within a long phase, call it now and then. Costs microseconds."""
        now, cpu = time.monotonic(), time.thread_time()
        # Ranks wait for each other in collectives, not for a core, so seconds of wall clock are alike on all of them.
        # Waiting for data is a rank's own; elsewhere only what its main thread computed is.
        self._own += now - self.moved if self.phase == "data" else cpu - self._cpu
        begun = step != self.step
        self.count = 0 if begun else self.count + 1
        self.step, self.phase, self.moved, self._cpu = step, phase, now, cpu
        if begun:
            self.steps_begun += 1
            for call in self.on_step:
                call()

    def end(self) -> None:
        """Say that no more marks will come: what follows training, such as an export, takes what it takes."""
        self.over = True

    @property
    def still(self) -> float:
        """Seconds without a mark; 0 where none is to come."""
        return 0.0 if self.over else time.monotonic() - self.moved

    def take_own_seconds(self) -> float:
        """Return the seconds this rank spent on its own work since the last call."""
        own, self._own = self._own, 0.0
        return own
