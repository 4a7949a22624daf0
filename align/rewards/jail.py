"""Run a program that nobody has read in a process of its own that can harm nothing, and say whether it passed.

The process sees Python's standard library, the system's shared libraries and an empty folder that is removed
afterwards; it has an empty environment, no network, no other processes, and limits of time, memory, file size and
output (`locks.py`).

What this cannot settle: program and tests share an interpreter, so a program made to deceive these tests (an object
equal to everything, say) may pass. To leave early, or to print what it likes, does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from align.rewards import locks

ROOT = str(Path(__file__).resolve().parents[2])
READY = b"ready\n"
# what modules of the standard library load, beside themselves
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", f"{sys.base_prefix}/lib", "/usr/share/zoneinfo")
LOOK_SECONDS = 0.05  # between looks at the folder's size


@dataclass(frozen=True)
class Limits:
    """What a program may use."""

    seconds: float = 5.0  # of the clock; of CPU as much, rounded up
    memory_mb: int = 512  # of address space
    files_mb: float = 1.0  # of all files it writes
    output_kb: int = 256  # of standard output


@dataclass(frozen=True)
class Outcome:
    """What became of a program."""

    passed: bool  # it and its tests ran to their end, within the limits
    output: bytes = b""  # standard output
    reason: str = ""  # why it did not pass, one line

    @property
    def refused(self) -> bool:
        """Whether the process could not be locked down, and ran nothing."""
        return self.reason.startswith("not locked down")


def run(program: str, tests: str = "", stdin: str = "", limits: Limits | None = None) -> Outcome:
    """Run `program` as a main module, then `tests` among its names. Costs about 50 ms. Raises nothing of theirs."""
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="millrace-jail-", ignore_cleanup_errors=True) as folder:
        return _Watched(folder, limits).run(program, tests, stdin)


class _Watched:
    """One locked process, and the parent's eye on it."""

    def __init__(self, folder: str, limits: Limits):
        self.folder, self.limits = folder, limits
        self.output = bytearray()
        self.said = bytearray()  # on the pipe by which the lock, and the passed tests, are reported

    def run(self, program: str, tests: str, stdin: str) -> Outcome:
        token = secrets.token_hex(16)
        parts = [json.dumps(one).encode() for one in (program, [tests, token])]
        told = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        with tempfile.TemporaryFile() as sent, tempfile.TemporaryFile() as given:
            sent.write(told)
            sent.seek(0)
            given.write(stdin.encode())
            given.seek(0)
            reading, writing = os.pipe()
            code = f"import sys; sys.path.insert(0, {ROOT!r}); from align.rewards import jail; jail.inside()"
            about = json.dumps([self.folder, asdict(self.limits), sent.fileno(), writing])
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-c", code, about], env={}, cwd=self.folder, stdin=given,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
                pass_fds=(sent.fileno(), writing),
            )  # fmt: skip
            os.close(writing)
            try:
                stopped = self._watch(process, reading)
            finally:
                process.kill()  # its threads with it; other processes it cannot have
                ended = process.wait()
                os.close(reading)
                assert process.stdout is not None
                process.stdout.close()
        return self._outcome(stopped, token, ended)

    def _watch(self, process: subprocess.Popen[bytes], reading: int) -> str:
        """Read what it says until it ends; return why it was stopped, or an empty string."""
        assert process.stdout is not None
        limits, ends = self.limits, time.monotonic() + self.limits.seconds
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout.fileno(), selectors.EVENT_READ, self.output)
            waiting.register(reading, selectors.EVENT_READ, self.said)
            while waiting.get_map():
                if time.monotonic() >= ends:
                    return f"took more than {limits.seconds:g} seconds"
                for key, _ in waiting.select(min(LOOK_SECONDS, max(0.0, ends - time.monotonic()))):
                    read = os.read(key.fd, 65536)
                    key.data.extend(read)
                    if not read:
                        waiting.unregister(key.fd)
                if len(self.output) + len(self.said) > limits.output_kb * 1024:
                    return f"wrote more than {limits.output_kb} KB"
                if _bytes_in(self.folder) > limits.files_mb * 1e6:
                    return f"wrote files of more than {limits.files_mb:g} MB"
        try:
            process.wait(max(0.0, ends - time.monotonic()))
        except subprocess.TimeoutExpired:  # it closed its output and goes on
            return f"took more than {limits.seconds:g} seconds"
        return ""

    def _outcome(self, stopped: str, token: str, ended: int) -> Outcome:
        output = bytes(self.output[: self.limits.output_kb * 1024])
        if not self.said.startswith(READY):
            said = self.said.decode(errors="replace").partition("\n")[0]
            why = said or stopped or f"the interpreter ended with {ended}"
            return Outcome(False, b"", f"not locked down: {why}")
        if stopped:
            return Outcome(False, output, stopped)
        if self.said == READY + token.encode():
            return Outcome(True, output)
        said = self.said[len(READY) :].decode(errors="replace").partition("\n")[0]
        return Outcome(False, output, said[:300] or f"ended before its tests did, with {ended}")


def _bytes_in(folder: str) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # removed in the meantime
                total += entry.stat(follow_symlinks=False).st_size
    return total


def inside() -> None:
    """Lock this process, then run what the parent sends. The main function of the locked interpreter."""
    folder, limits, told, saying = json.loads(sys.argv[1])
    try:
        sys.path.remove(ROOT)
        sys.argv = ["program.py"]
        _limit(Limits(**limits))
        locks.lock([path for path in {*sys.path, *LIBRARIES} if Path(path).exists()], folder)
    except Exception as error:
        os.write(saying, f"{error}\n".encode())
        os._exit(2)
    for name in [name for name in sys.modules if name.partition(".")[0] == "align"]:
        del sys.modules[name]  # a program finds the standard library alone
    os.write(saying, READY)
    names: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    try:
        _execute(_received(told), "program.py", names)
        tests, token = _received(told)  # comes into memory only when the program has run to its end
        _execute(tests, "tests.py", names)
        sys.stdout.flush()
        os.write(saying, token.encode())
    except BaseException as error:  # SystemExit, too: whoever leaves before the tests ended has not passed
        os.write(saying, f"{type(error).__name__}: {str(error)[:200]}".encode(errors="replace"))
        os._exit(1)
    os._exit(0)  # threads that are left end here


def _execute(code: str, name: str, names: dict[str, Any]) -> None:
    exec(compile(code, name, "exec"), names)


def _received(told: int) -> Any:
    return json.loads(_read(told, int.from_bytes(_read(told, 8), "big")))


def _read(told: int, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = os.read(told, count - len(parts))
        if not part:
            raise EOFError("the parent sent less than it promised")
        parts += part
    return bytes(parts)


def _limit(limits: Limits) -> None:
    import resource

    seconds, file_bytes, memory = int(-(-limits.seconds // 1)), int(limits.files_mb * 1e6), limits.memory_mb << 20
    for kind, most in (
        (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, 64), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NPROC, 64),
        (resource.RLIMIT_MEMLOCK, 0),
    ):  # fmt: skip
        resource.setrlimit(kind, (most, most))
