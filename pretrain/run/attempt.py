"""All ranks of a run on this machine, from their start to their end: once, with no restart."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from millrace import storage
from pretrain.run.ranks import DEBUG, LAUNCHED, forget_failures, rank_log, read_failure
from pretrain.run.warden import Warden

ADDRESS = "127.0.0.1"
# Ended from outside, or by its own fault, before any Python could say so; the errors of other ranks come of that. Of an
# exit code without a word too. SIGABRT is not among them: libraries end a rank so that has lost another one.
CRASHES = (signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL)
TAIL, TRACEBACK = 8, 60  # lines of a log that are shown


@dataclass(frozen=True)
class Loss:
    """The rank whose end made the others end, and the line that says how."""

    rank: int
    message: str
    failure: Any = None  # ranks.Failure, where it wrote one
    tail: str = ""  # last lines of its log, where it said nothing, or with debug


class Attempt:
    """Ranks as subprocesses, each the leader of its own session and process group. A context: none is left at its end.

    The rendezvous store lives in this process, so it outlives any rank; ranks are started before torch is imported
    for it, and wait at its socket.
    """

    def __init__(self, command: Sequence[str], folder: str, ranks: int, restarts: int, warden: Warden, debug: bool):
        self._command, self._folder, self._size, self._warden = command, folder, ranks, warden
        self._restarts, self._debug = restarts, debug
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ends: dict[int, tuple[int, float]] = {}  # rank: exit code (minus the signal), seconds since 1970
        self._logs: list[int] = []  # bytes of each rank's log when it was started
        self._told: set[int] = set()  # ranks that were asked to end or killed by us

    def __enter__(self) -> Attempt:
        forget_failures(self._folder)
        listening = socket.create_server((ADDRESS, 0), backlog=max(self._size, 128))
        try:
            for rank in range(self._size):
                self._start(rank, listening.getsockname()[1])
            self._store = _store(listening)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        """Kill what is left of every rank's group: the rank, and the processes it had started."""
        for process in self._processes:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
            process.wait()
            self._warden.forget(process.pid)
        self._processes = []
        self._store = None

    def _start(self, rank: int, port: int) -> None:
        log = rank_log(self._folder, rank)
        with ExitStack() as opened:
            stream = opened.enter_context(storage.appending(log))
            self._logs.append(stream.seek(0, os.SEEK_END))
            process = subprocess.Popen(
                [*self._command, self._folder],
                env=_environment(rank, self._size, port, self._restarts, self._debug),
                stdin=subprocess.DEVNULL, start_new_session=True,
                stdout=None if rank == 0 else stream, stderr=None if rank == 0 else subprocess.STDOUT,
            )  # fmt: skip
        self._processes.append(process)
        self._warden.watch(process.pid)

    def running(self) -> list[int]:
        """Return the ranks that have not ended; those that have stay zombies, and keep their number, until the end."""
        for rank, process in enumerate(self._processes):
            if rank not in self._ends:
                found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if found is not None:
                    code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
                    self._ends[rank] = code, time.time()
        return [rank for rank in range(self._size) if rank not in self._ends]

    def failed(self) -> bool:
        """Say whether a rank has ended otherwise than well."""
        return any(code for code, _ in self._ends.values())

    def ask_to_end(self) -> None:
        """Send SIGTERM to the ranks that run: they save after their step, where all of them still take steps."""
        for rank in self.running():
            self._told.add(rank)
            self._processes[rank].send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the groups of the ranks that run."""
        for rank in self.running():
            self._told.add(rank)
            os.killpg(self._processes[rank].pid, signal.SIGKILL)

    @property
    def untrained(self) -> bool:
        """Say whether our SIGTERM ended a rank before it could catch it: then no step was taken yet."""
        return any(code == -signal.SIGTERM and rank in self._told for rank, (code, _) in self._ends.items())

    def loss(self) -> Loss | None:
        """Say which rank was lost first; None where all ended well, or only as they were told."""
        ours = (-signal.SIGTERM, -signal.SIGKILL)
        lost = [r for r, (code, _) in self._ends.items() if code and not (r in self._told and code in ours)]
        if not lost:
            return None
        rank = min(lost, key=lambda rank: (self._time_of(rank), rank))
        code, failure = self._ends[rank][0], read_failure(self._folder, rank)
        if failure and failure.ranks:
            return Loss(rank, failure.message, failure)
        log = rank_log(self._folder, rank)
        if failure:
            tail = self._tail(rank, TRACEBACK) if self._debug and rank else ""  # rank 0 showed its own
            return Loss(rank, f"rank {rank} failed: {failure.message} (traceback in {log})", failure, tail)
        return Loss(rank, f"rank {rank} {_how(code)}", tail=self._tail(rank, TAIL))

    def _time_of(self, rank: int) -> float:
        code, seen = self._ends[rank]
        failure = read_failure(self._folder, rank)
        if failure:
            return failure.time
        return 0.0 if code > 0 or -code in CRASHES else seen

    def _tail(self, rank: int, length: int) -> str:
        with storage.opening(rank_log(self._folder, rank)) as stream:
            stream.seek(self._logs[rank])
            lines = stream.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-length:])


def _how(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed by signal 9 (SIGKILL; the kernel sends it when memory runs out)"
    return f"was killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"


def _environment(rank: int, ranks: int, port: int, restarts: int, debug: bool) -> Mapping[str, str]:
    """Return a rank's environment: the variables torchrun sets, and ours."""
    threads = max(len(os.sched_getaffinity(0)) // ranks, 1)
    return {
        "OMP_NUM_THREADS": str(threads),
        "GLOO_SOCKET_IFNAME": "lo",  # a machine's own name need not lead to it
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": ADDRESS,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RESTART_COUNT": str(restarts),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "PYTHONPATH": os.pathsep.join(filter(None, (_root(), os.environ.get("PYTHONPATH")))),
        LAUNCHED: str(os.getpid()),
        **({DEBUG: "1"} if debug else {}),
    }


def _root() -> str:
    """Return the folder this package was imported from: ranks must run the same code."""
    return str(Path(__file__).parents[2])


def _store(listening: socket.socket) -> Any:
    """Serve torch's rendezvous store at an open socket, for as long as what is returned lives."""
    import torch.distributed as dist

    return dist.TCPStore(
        ADDRESS, listening.getsockname()[1], None, True, timedelta(seconds=60), wait_for_workers=False,
        master_listen_fd=listening.detach(),
    )  # fmt: skip


PYTHON_RANK = (sys.executable, "-m", "pretrain.run.worker")
