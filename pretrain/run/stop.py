"""Stopping by a signal: all ranks end after the same step, save, and exit as if done."""

from __future__ import annotations

import signal
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)  # USR1: Slurm's warning, #SBATCH --signal=USR1@120
KEY = "stop"


class Stop:
    """Tells all ranks to stop at one step, through the store, when any of them got a signal.

    No collective is needed. The rank with the signal writes "from step s + 1" before it enters step s; no rank
    ends a step that another has not begun, as every step reduces its loss and gradient over all of them, and
    reads them; so at the beginning of s + 1 every rank finds what was written.
    """

    def __init__(self) -> None:
        self._store: Any = None
        self.signal: str | None = None  # the first one this rank got

    def install(self) -> None:
        """Catch the signals from now on; a second SIGINT interrupts as usual. Main thread only."""
        for number in SIGNALS:
            signal.signal(number, self._catch)

    def meet(self, store: Any) -> None:
        """Share the store with the stops of the other ranks."""
        self._store = store

    def _catch(self, number: int, frame: Any) -> None:
        if number == signal.SIGINT and self.signal:
            raise KeyboardInterrupt
        self.signal = self.signal or signal.Signals(number).name

    def agreed(self, step: int) -> bool:
        """Say whether to stop before `step`; the same on all ranks. Each calls it as it begins the step.

        Costs one or two trips to the store, about 0.1 ms on one machine.
        """
        if self.signal:
            self._store.compare_set(KEY, "", str(step + 1))  # the first one holds
        return bool(self._store.check([KEY])) and step >= int(self._store.get(KEY))
