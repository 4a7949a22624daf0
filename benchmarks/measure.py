"""Measure commands: CPU seconds of a whole process tree, and peak memory."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SAMPLE_SECONDS = 0.2  # between two looks at the memory of a tree
LINGER_SECONDS = 20.0  # that a tree's last processes have to end after its first one
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass(frozen=True)
class Cost:
    """What one command took: CPU seconds (user and system) and memory of all its processes."""

    cpu: float
    wall: float
    main_mb: float  # the most PSS the first process had
    worker_mb: float  # the most any other single process had, 0 where there was none
    tree_mb: float  # the most the whole tree had at once
    answer: dict[str, Any] = field(default_factory=dict)  # what the command wrote to its answer file


def run(command: Sequence[str | Path], log: Path, answer: Path | None = None, **environment: str) -> Cost:
    """Run a command to its end and return its cost. Exits with the end of its log where it fails."""
    report = log.with_suffix(".cost.json")
    if answer:
        answer.unlink(missing_ok=True)  # an earlier command's
    words = [str(word) for word in (sys.executable, __file__, report, log, *command)]
    subprocess.run(words, check=True, cwd=ROOT, env={**_environment(), **environment})
    said = json.loads(report.read_text())
    if code := said.pop("code"):
        sys.exit(f"failed with exit code {code}: {' '.join(map(str, command))}\n{log.read_text()[-3000:]}")
    return Cost(**said, answer=json.loads(answer.read_text()) if answer else {})


def supervise(report: Path, log: Path, command: Sequence[str]) -> None:
    """Run a command in this process's care, and write what it cost.

    The process becomes the subreaper of its descendants, so that whatever a command leaves behind is
    waited for and counted. It is a process of its own because it must have no other children.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    began = time.perf_counter()
    with log.open("wb") as out:
        first = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    with _Sampler(first.pid) as memory:
        cpu, first.returncode, wall = _reap(first.pid, began)
    said = {"code": first.returncode, "cpu": cpu, "wall": wall}
    said |= {name: getattr(memory, name) for name in ("main_mb", "worker_mb", "tree_mb")}
    report.write_text(json.dumps(said))


def _environment() -> dict[str, str]:
    """Return the environment, as a user has it: Python may keep what it compiles."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _reap(first: int, began: float) -> tuple[float, int, float]:
    """Wait for all descendants; return CPU seconds, the first process's exit code, and its wall seconds."""
    cpu, code, wall = 0.0, 0, 0.0
    ended = None
    while True:
        try:
            pid, status, used = os.wait4(-1, os.WNOHANG if ended else 0)
        except ChildProcessError:
            return cpu, code, wall
        if pid == 0:
            if ended and time.perf_counter() - ended > LINGER_SECONDS:
                for left in descendants(os.getpid()):
                    os.kill(left, signal.SIGKILL)
            time.sleep(0.05)
            continue
        cpu += used.ru_utime + used.ru_stime
        if pid == first:
            code, ended = os.waitstatus_to_exitcode(status), time.perf_counter()
            wall = ended - began


def descendants(root: int) -> list[int]:
    """Return the process ids below `root`."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def pss_mb(pid: int) -> float:
    """Return the proportional set size of a process, 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("Pss:")), 0.0)


class _Sampler:
    """Watch the memory of this process's descendants in a thread."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.main_mb = self.worker_mb = self.tree_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            sizes = {pid: pss_mb(pid) for pid in descendants(os.getpid())}
            self.tree_mb = max(self.tree_mb, sum(sizes.values()))
            self.main_mb = max(self.main_mb, sizes.pop(self.first, 0.0))
            self.worker_mb = max([self.worker_mb, *sizes.values()])

    def __enter__(self) -> _Sampler:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
