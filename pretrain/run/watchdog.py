"""The watchdog: notices that training stands still, names the rank that is behind, and ends this rank.

A thread in each rank writes its main thread's marks to the store, with a beat of its own. When the main thread made
no mark for `hang_seconds`, it reads what the others wrote: a rank without a beat is stopped, dead, or held in C code;
else the rank with the fewest marks is behind; where all made the same ones, whoever is not waiting in a collective.
As long as all is well a rank only writes, one small key a tick. Beats are counted, not timed: clocks differ.
"""

from __future__ import annotations

import faulthandler
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import IO, Any

from pretrain.run.marks import Marks

FIRST_STEP = 3  # times hang_seconds until the first step is over: kernels compile, groups meet, a checkpoint is read
LOOKS = 4  # ticks without a beat until a rank counts as stopped
FIRST, VERDICT, ENDED = "watchdog/first", "watchdog/verdict", "watchdog/ended"
# Files whose frames mean that a rank waits for others; the last two wait for handles, in no frame of torch's.
WAITING = ("/torch/distributed/", "/megatron/core/distributed/", "/p2p_communication.py")


@dataclass(frozen=True)
class Standing:
    """Where a rank stands, as it last wrote."""

    rank: int
    step: int
    phase: str
    count: int  # marks in this step
    where: str  # the line its main thread is on
    waits: bool  # in a collective
    beat: int

    def __str__(self) -> str:
        return f"rank {self.rank} at step {self.step} in {self.phase} ({self.where})"


@dataclass(frozen=True)
class Hang:
    """Who is behind, and the line that says so."""

    step: int
    ranks: tuple[int, ...]
    message: str


def judge(standings: list[Standing], silent: set[int], seconds: float) -> Hang:
    """Name the ranks that are behind: those that are silent, else have the fewest marks, else do not wait."""
    step = max(s.step for s in standings)
    if silent:
        # a rank that never wrote has no standing
        last = {s.rank: f" (last seen {str(s).partition(' at ')[2]})" for s in standings}
        named = "; ".join(f"rank {rank} does not answer{last.get(rank, '')}" for rank in sorted(silent))
        why = f"{named}: stopped, dead, or held in C code"
        return Hang(step, tuple(sorted(silent)), f"no progress for {seconds:.0f} s: {why}")
    least = min((s.step, s.count) for s in standings)
    behind = [s for s in standings if (s.step, s.count) == least]
    at_work = [s for s in behind if not s.waits]
    named_ones = behind if len(behind) < len(standings) or not at_work else at_work
    if len(named_ones) == len(standings) > 1:
        line = "no rank is behind the others: " + "; ".join(map(str, named_ones))
    else:
        line = "; ".join(f"{s} is stuck" for s in named_ones)
    return Hang(step, tuple(s.rank for s in named_ones), f"no progress for {seconds:.0f} s: {line}")


class Watchdog:
    """Watches this rank's marks in a daemon thread, as a context; calls `ends` when training stands still.

    `store`: this watchdog's own connection, as the main thread may block in the other; `log` gets the stacks of all
    threads. `ends(hang, first)` ends the process; `first` is true on one rank, which noticed first.
    """

    def __init__(self, store: Any, rank: int, world: int, marks: Marks, hang_seconds: float, log: IO[bytes],
                 ends: Callable[[Hang, bool], None]):  # fmt: skip
        self._store, self._rank, self._world = store, rank, world
        self._marks, self._seconds, self._log, self._ends = marks, hang_seconds, log, ends
        self._tick = min(max(hang_seconds / 8, 0.1), 10.0)  # seconds
        self._main = threading.main_thread().ident
        self._closing = threading.Event()
        self._beat = 0
        self._beats: dict[int, int] = {}  # of all ranks, when this one began to look
        self._looks = 0
        self._look_began: float | None = None  # while it talks to the store
        self._threads = [
            threading.Thread(target=target, name=target.__name__, daemon=True)
            for target in (self._watch, self._watch_the_store)
        ]

    def __enter__(self) -> Watchdog:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join(LOOKS * self._tick)  # a daemon: one that waits for a stopped store is left
        faulthandler.cancel_dump_traceback_later()

    @property
    def _allowed(self) -> float:
        return self._seconds * (FIRST_STEP if self._marks.steps_begun <= 1 else 1)

    def _watch(self) -> None:
        while True:
            # If this thread itself cannot run, as C code holds the lock of Python, a thread of C ends the process.
            faulthandler.dump_traceback_later(2 * FIRST_STEP * self._seconds, exit=True, file=self._log)
            self._look_began = time.monotonic()
            try:
                self._look()
            except RuntimeError as error:  # of the store: its host is gone or stopped, and training with it
                self._without_store(error)
            self._look_began = None
            if self._closing.wait(self._tick):
                return

    def _watch_the_store(self) -> None:
        """End the run where the process of the store is stopped, not gone: its answers have no time limit."""
        while not self._closing.wait(self._tick):
            began = self._look_began
            if began is not None and time.monotonic() - began > LOOKS * self._tick:
                self._without_store("no answer")

    def _look(self) -> None:
        self._beat += 1
        self._store.set(f"watchdog/{self._rank}", json.dumps(self._standing()))
        still = self._marks.still
        if self._store.check([VERDICT]):
            self._end(_read_hang(self._store.get(VERDICT)), first=False)
        elif still < self._allowed - LOOKS * self._tick:
            self._looks = 0
        else:
            self._compare(still)

    def _compare(self, still: float) -> None:
        standings = self._all()
        if not self._looks:
            self._beats = {s.rank: s.beat for s in standings}
        self._looks += 1
        if self._looks <= LOOKS or still < self._allowed:
            return
        alive = {s.rank for s in standings if s.beat != self._beats.get(s.rank)}
        hang = judge(standings, set(range(self._world)) - alive, still)
        if self._store.add(FIRST, 1) == 1:  # else another rank's verdict is there at the next tick
            self._store.set(VERDICT, json.dumps([hang.step, hang.ranks, hang.message]))
            self._end(hang, first=True, others=len(alive - {self._rank}))

    def _all(self) -> list[Standing]:
        keys = [f"watchdog/{rank}" for rank in range(self._world)]
        written = [key for key in keys if self._store.check([key])]
        return [Standing(*json.loads(value)) for value in self._store.multi_get(written)]

    def _standing(self) -> list[Any]:
        marks = self._marks
        where, waits = position(sys._current_frames()[self._main]) if self._main else ("", False)
        return [self._rank, marks.step, marks.phase, marks.count, where, waits, self._beat]

    def _end(self, hang: Hang, first: bool, others: int = 0) -> None:
        self._look_began = None
        self._log.write(f"{hang.message}\n".encode())
        self._log.flush()
        faulthandler.dump_traceback(self._log)
        self._store.add(ENDED, 1)
        # The others find the verdict at their next tick; were this rank gone first, they would be ended by its loss
        # before they wrote down where they were.
        waited = time.monotonic() + 2 * LOOKS * self._tick
        while first and self._store.add(ENDED, 0) < others + 1 and time.monotonic() < waited:
            time.sleep(self._tick / 4)
        self._ends(hang, first)

    def _without_store(self, error: Exception | str) -> None:
        still = self._marks.still
        if still < self._allowed:
            return
        line = f"no progress for {still:.0f} s, and the rendezvous store (of the launcher, or rank 0) does not answer"
        self._log.write(f"{line}: {error}\n".encode())
        self._log.flush()
        faulthandler.dump_traceback(self._log)
        hang = Hang(self._marks.step, (0,), f"{line}: rank 0 is stopped or dead")
        self._ends(hang, self._rank == min(1, self._world - 1))


def position(frame: FrameType) -> tuple[str, bool]:
    """Return the innermost line outside torch's collectives, and whether a thread waits in one."""
    where, waits = "", False
    step: FrameType | None = frame
    while step is not None:
        name = step.f_code.co_filename.replace("\\", "/")
        inside = any(part in name for part in WAITING)
        waits = waits or inside
        if not where and not inside:
            where = f"{'/'.join(name.split('/')[-2:])}:{step.f_lineno} in {step.f_code.co_name}"
        step = step.f_back
    return where, waits


def _read_hang(written: bytes | str) -> Hang:
    step, ranks, message = json.loads(written)
    return Hang(step, tuple(ranks), message)
