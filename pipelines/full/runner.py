"""Runs steps that are not done, one after another; the same call goes on where the last one was killed."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from millrace import __version__, storage
from millrace.errors import MillraceError
from pipelines.full.plan import Step, shaped_by
from pretrain.run.warden import Warden

DONE, QUARANTINED = 0, 3  # exit codes of a step that made what it makes
POLL_SECONDS, SAY_SECONDS = 0.1, 20.0
CHARACTERS = 110  # of a log's last line that are shown


class StepError(MillraceError):
    """A step that ended without what it makes; its own log says why."""


@dataclass(frozen=True)
class Record:
    """What is known of a step: RUN/steps/NAME.json. Seconds are of all attempts that ended by themselves."""

    key: str  # of command, recipe, code and all steps before; another one begins the step anew
    command: list[str]
    done: bool = False
    attempts: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of all its processes

    def write(self, folder: str, name: str) -> None:
        """Write it, whole."""
        storage.write_json(_place(folder, name), asdict(self))


def read(folder: str, name: str) -> Record | None:
    """Return what is known of a step, None where it never began."""
    place = _place(folder, name)
    return Record(**storage.read_json(place)) if storage.exists(place) else None


def run(
    steps: Sequence[Step], folder: str, say: Callable[[str], None], told: Callable[[str, str], str] = lambda *_: "",
    still: Callable[[str], None] = lambda _: None,
) -> None:  # fmt: skip
    """Run what is not done. `say` gets a line a step, with `told(folder, name)` in it; `still` what goes on meanwhile.

    A step whose command, recipe, code, or any step before it is another than last time begins anew, its folder removed.
    Raises StepError, also where another process is at work in the folder, and KeyboardInterrupt (on SIGTERM too) once
    the step at work has saved and ended.
    """
    keys: dict[str, str] = {}
    with _alone(folder):
        for step in steps:
            keys[step.name] = key = _key(step, folder, [keys[one] for one in step.needs])
            known = read(folder, step.name)
            if known and known.key == key and known.done and storage.exists(storage.join(folder, step.makes)):
                say(_line(step, known, told(folder, step.name), "done before"))
                continue
            if known and (known.key != key or known.done):
                storage.remove(storage.join(folder, step.folder))
                known = None
            begun = known or Record(key, list(step.command))
            begun = replace(begun, attempts=begun.attempts + 1)
            begun.write(folder, step.name)
            ended = _do(step, folder, begun, still)
            ended.write(folder, step.name)
            say(_line(step, ended, told(folder, step.name), "" if ended.attempts == 1 else "resumed"))


def _do(step: Step, folder: str, begun: Record, still: Callable[[str], None]) -> Record:
    """Run a step's command to its end and return its record."""
    log = storage.join(folder, "logs", f"{step.name}.log")
    still(f"{step.name:<9} {step.does}; {log}")
    began, before = time.monotonic(), _cpu()
    with storage.appending(log) as stream:
        code, stopped = _followed(step, stream, log, still)
    spent = replace(
        begun, seconds=round(begun.seconds + time.monotonic() - began, 2),
        cpu_seconds=round(begun.cpu_seconds + _cpu() - before, 2),
    )  # fmt: skip
    whole = code in (DONE, QUARANTINED) and storage.exists(storage.join(folder, step.makes))
    if stopped and not whole:
        spent.write(folder, step.name)
        raise KeyboardInterrupt
    if not whole:
        last = _last_line(log)
        raise StepError(f"step {step.name} ended with code {code}: {last or 'it said nothing'} (its log: {log})")
    return replace(spent, done=True)


def _followed(step: Step, stream: Any, log: str, still: Callable[[str], None]) -> tuple[int, bool]:
    """Run a command with its output in a log; hand signals on once. Return its exit code, and whether we were stopped.

    It runs in a process group of its own, which a warden ends where this process is killed.
    """
    stopped = False
    warden = Warden()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    process = subprocess.Popen(
        step.command, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        warden.watch(process.pid)

        def stop(number: int, _: Any) -> None:
            nonlocal stopped
            stopped = True
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)

        for number in before:
            signal.signal(number, stop)
        spoke, said = time.monotonic(), ""
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(POLL_SECONDS)
            if time.monotonic() - spoke > SAY_SECONDS:
                spoke, before_that, said = time.monotonic(), said, _last_line(log)[:CHARACTERS]
                if said != before_that:
                    still(f"{step.name:<9} ... {said}")
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # what a step leaves behind
        code = process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
        warden.forget(process.pid)
        warden.close()
    return code, stopped


def _line(step: Step, record: Record, told: str, how: str) -> str:
    first = f"{step.name:<9} {record.seconds:7.1f} s"
    return f"{first}  {', '.join(filter(None, (told, how)))}".rstrip()


def _key(step: Step, folder: str, before: list[str]) -> str:
    """Return a hash of what a step's outcome follows from, wherever the folder lies."""
    words = [word.replace(folder, "RUN") for word in step.command[1:]]
    shaping = [__version__, words, shaped_by(step).decode(), before]
    return hashlib.sha256(json.dumps(shaping).encode()).hexdigest()[:16]


def _place(folder: str, name: str) -> str:
    return storage.join(folder, "steps", f"{name}.json")


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    try:
        with storage.lock(storage.join(folder, "lock"), f"process {os.getpid()}"):
            yield
    except BlockingIOError as error:
        raise StepError(f"{folder} is in use: {error}") from None


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _last_line(log: str) -> str:
    """Return the last line of a log that says something."""
    lines = storage.read_bytes(log).decode(errors="replace").splitlines()
    return next((line for line in reversed(lines) if line.strip()), "")
