"""Extraction in a child process, so that a page can cost a document but never a worker."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from curator.extract.child import ANSWER, ERROR, NO_TEXT, OK, OUT_OF_MEMORY, READY, REQUEST

STATUS = {OK: "ok", NO_TEXT: "no_text", ERROR: "error", OUT_OF_MEMORY: "memory_limit"}
# How a child ends that could not go on. Allocators abort, the system's killer kills.
DEATH = {signal.SIGPROF: "cpu_limit", signal.SIGABRT: "memory_limit", signal.SIGKILL: "memory_limit"}
RETRIED = ("memory_limit", "crashed")


@dataclass(frozen=True)
class Answer:
    """What became of a page."""

    status: str  # ok, no_text, error, cpu_limit, memory_limit or crashed
    text: bytes = b""  # UTF-8
    detail: str = ""  # of what failed: the exception or the signal


@dataclass(frozen=True)
class Sandbox:
    """A kind of child process. Each thread that uses it keeps one, until the thread ends."""

    settings: str  # JSON for curator.extract.child

    def extract(self, pages: Sequence[bytes]) -> list[Answer]:
        """Return an answer for each page (UTF-8), in order.

        A page on which the child dies or runs out of memory is tried once more, alone in a new
        child: what others left in memory is not its fault. One over the CPU limit is not, for its
        clock counts nothing but itself. Raises RuntimeError where no child can be started.
        """
        answers: list[Answer] = []
        try:
            while len(answers) < len(pages):
                answers += self.child().run(pages[len(answers) :])
                if answers and answers[-1].status in RETRIED:
                    self.close()
                    answers[-1:] = self.child().run([pages[len(answers) - 1]])
                if answers and answers[-1].status in (*RETRIED, "cpu_limit"):
                    self.close()
        except BaseException:
            self.close()  # it may be in the middle of a page
            raise
        return answers

    def child(self) -> Child:
        """Return this thread's child process; start it where there is none."""
        child = _THREAD.children.get(self)
        if child is None or child.owner != os.getpid():  # after a fork it is another process's child
            child = _THREAD.children[self] = Child(self.settings)
        return child

    def close(self) -> None:
        """End this thread's child process."""
        child = _THREAD.children.pop(self, None)
        if child:
            child.stop()


class _Thread(threading.local):
    def __init__(self) -> None:
        self.children: dict[Sandbox, Child] = {}


_THREAD = _Thread()  # processes, not state: what they answer depends on the settings and the page


class Child:
    """A running child process."""

    def __init__(self, settings: str) -> None:
        root = str(Path(__file__).parents[2])
        # -P: a file html.py in the working directory must not become the standard library's
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "curator.extract.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])},
        )
        self.requests = cast(IO[bytes], self.process.stdin)
        self.answers = cast(IO[bytes], self.process.stdout)
        self.owner = os.getpid()
        self.stop = weakref.finalize(self, _stop, self.process, self.owner)  # also when the thread or program ends
        _feed(self.requests.fileno(), [settings.encode()])
        ready = self._receive()
        if ready is None or ready[0] != READY:
            self.stop()
            why = ready[1].decode() if ready else f"exit code {self.process.returncode}"
            raise RuntimeError(f"the extraction process did not start: {why}")

    def run(self, pages: Sequence[bytes]) -> list[Answer]:
        """Return the answers up to the first page that needs a new child, or to the last."""
        # A thread, for both pipes may be full: the child does not read while it writes.
        feeder = threading.Thread(target=_feed, args=(self.requests.fileno(), pages), daemon=True)
        feeder.start()
        answers: list[Answer] = []
        try:
            while len(answers) < len(pages):
                received = self._receive()
                answers.append(_answer(*received) if received else self._death())
                if answers[-1].status in (*RETRIED, "cpu_limit"):
                    break
        finally:
            if len(answers) < len(pages) or answers[-1].status in RETRIED:
                self.process.kill()  # so that the feeder ends
            feeder.join()
        return answers

    def _receive(self) -> tuple[int, bytes] | None:
        head = self.answers.read(ANSWER.size)
        if len(head) < ANSWER.size:
            return None
        status, length = ANSWER.unpack(head)
        data = self.answers.read(length)
        return (status, data) if len(data) == length else None

    def _death(self) -> Answer:
        code = self.process.wait()
        if code >= 0:
            return Answer("crashed", detail=f"exit code {code}")
        return Answer(DEATH.get(signal.Signals(-code), "crashed"), detail=signal.Signals(-code).name)


def _answer(status: int, data: bytes) -> Answer:
    if status == OK:
        return Answer("ok", data)
    return Answer(STATUS[status], detail=data.decode())


def _feed(pipe: int, pages: Sequence[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the child died: whoever reads the answers sees it
        for page in pages:
            message = memoryview(REQUEST.pack(len(page)) + page)
            while message:
                message = message[os.write(pipe, message) :]


def _stop(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() == owner:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
