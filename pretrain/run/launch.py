"""Start a run's ranks on this machine, keep them together, and start them anew when one is lost."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from millrace import storage
from millrace.progress import Progress
from pretrain.errors import TrainingError
from pretrain.run.attempt import PYTHON_RANK, Attempt, Loss
from pretrain.run.log import LOG, Event, append_event
from pretrain.run.ranks import DONE
from pretrain.run.warden import Warden

POLL_SECONDS = 0.1
GRACE_SECONDS = (
    10.0  # from the loss of a rank until the others are killed: they write down errors, they cannot train on
)


def launch(folder: str, ranks: int, max_restarts: int, *, debug: bool = False, progress: Progress | None = None,
           command: Sequence[str] = PYTHON_RANK) -> int:  # fmt: skip
    """Run FOLDER/run.json on `ranks` ranks of this machine; return 0 when it is done, or stopped and saved.

    SIGTERM, SIGHUP or Ctrl-C are handed on once: the ranks save and end; a second Ctrl-C kills them. A rank that is
    lost or hangs is named and all start anew from the newest checkpoint, `max_restarts` times. `command` is what a
    rank runs, with the folder after it. Rank 0 writes to the terminal, the others to FOLDER/ranks/rank-NNN.log.
    Raises the user's mistake that a rank raised, else TrainingError, in one line; no process outlives the call.
    Importing torch for the rendezvous store costs about 2 CPU seconds, while the ranks import it too.
    """
    folder = storage.absolute(folder)
    progress = progress or Progress()
    with _signals() as asked, closing(Warden()) as warden:
        for restarts in range(max_restarts + 1):
            with Attempt(command, folder, ranks, restarts, warden, debug) as attempt:
                _follow(attempt, asked)
                loss = attempt.loss()
            if signal.SIGINT in asked[1:]:
                raise KeyboardInterrupt
            if loss is None or (asked and attempt.untrained):
                return DONE
            if loss.failure and loss.failure.mistake:
                raise loss.failure.error()
            _show(loss, progress)
            if asked or restarts == max_restarts:
                raise TrainingError(loss.message + _after(restarts, max_restarts))
            _tell(folder, loss, restarts + 1, max_restarts, progress)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _follow(attempt: Attempt, asked: list[int]) -> None:
    """Wait until all ranks ended; hand a signal on, and end the others when one was lost."""
    handed_on = False
    until = float("inf")
    while attempt.running():
        if asked and not handed_on:
            handed_on = True
            attempt.ask_to_end()
        if attempt.failed() and until == float("inf"):
            until = time.monotonic() + GRACE_SECONDS
            attempt.ask_to_end()
        if signal.SIGINT in asked[1:] or time.monotonic() > until:
            attempt.kill()
        time.sleep(POLL_SECONDS)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGTERM, SIGHUP and SIGINT in a list while the block runs. In other threads there are none to collect."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {
        number: signal.signal(number, lambda given, _: asked.append(given))
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    }
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(loss: Loss, progress: Progress) -> None:
    if loss.tail:
        progress.say(f"last lines of rank {loss.rank}:\n{loss.tail}")


def _after(restarts: int, max_restarts: int) -> str:
    return f"; after {restarts} of {max_restarts} restarts" if max_restarts else "; the same command resumes"


def _tell(folder: str, loss: Loss, restart: int, max_restarts: int, progress: Progress) -> None:
    progress.say(f"{loss.message}; restart {restart} of {max_restarts}")
    details = {"rank": loss.rank, "message": loss.message, "restart": restart}
    append_event(folder, Event("restart", _last_step(folder), details))


def _last_step(folder: str) -> int:
    """Return the last step in log.jsonl, 0 where there is none."""
    url = storage.join(folder, LOG)
    lines: list[Any] = storage.read_bytes(url).split(b"\n")[:-1] if storage.exists(url) else []
    return int(json.loads(lines[-1])["step"]) if lines else 0
