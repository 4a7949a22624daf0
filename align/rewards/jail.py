"""Run a program that nobody has read in a process of its own that can harm nothing, and say whether it passed.

The process sees Python's standard library, the system's shared libraries and an empty folder that is removed
afterwards; it has an empty environment, no network, no other processes, and limits of time, memory, file size and
output (`locks.py`).

Its tests run in a second process, locked as well, which shares no memory with it, and call it over a pipe
(`apart.py`). The program cannot reach the tests' text, their verdict or the token that proves it, whatever it does to
its own interpreter: to leave early, to print what it likes, to patch modules or to look through frames helps nothing.
It sees the arguments of calls, and names that the tests use. Results are copies, compared with what tests expect by the
tests' own interpreter, so an object that says it is equal to everything is not.

What this cannot settle: answers that tests ask of an object of the program's own class (`x in made`, `made.ok()`, or
two such objects compared) are the program's word; so is what a name of the program's is that tests use unimported.
What tests cannot do over a pipe: derive from the program's classes, patch its globals, see a change of its globals
by name, `type(x) is Class`, calculate with an object of its own class and a plain value (`vector * 2`), and change a
value that a call kept (it kept a copy).
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import types
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from align.rewards import apart, locks

ROOT = str(Path(__file__).resolve().parents[2])
READY = b"ready\n"
# what modules of the standard library load, beside themselves
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", f"{sys.base_prefix}/lib", "/usr/share/zoneinfo")
LOOK_SECONDS = 0.05  # between looks at the folder's size


@dataclass(frozen=True)
class Limits:
    """What a program may use, and its tests as much again, in a process of their own."""

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
    """Run `program` as a main module, then `tests`, which use its names from a second process.

    Raises nothing of theirs. Costs about 60 ms, and 0.1 ms for each call that the tests make.
    """
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
        parts = [json.dumps(one).encode() for one in (program, tests, token)]
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
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    if process.returncode is None:  # else both ended, or the second was killed with the first
                        os.killpg(process.pid, signal.SIGKILL)
                process.kill()
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
    """Part in two locked processes: one runs the program, the other the tests. The locked interpreter's main function.

    What proves that the tests passed is read, from a file that the program's process never had, when they have.
    """
    folder, limits, told, saying = json.loads(sys.argv[1])
    readable = [path for path in {*sys.path, *LIBRARIES} if path != ROOT and Path(path).exists()]
    child = -1  # not parted yet
    try:
        sys.path.remove(ROOT)
        sys.argv = ["program.py"]
        program = _received(told)
        (asked, asking), (answered, answering) = os.pipe(), os.pipe()
        tester = os.getpid()
        child = os.fork()
        for closed in (asked, answering, 0) if child else (told, saying, asking, answered):
            os.close(closed)
        if child:
            os.open(os.devnull, os.O_RDONLY)  # the lowest number that is free: standard input is the program's
        _limit(Limits(**limits))
        locks.lock(readable, folder)
    except Exception as error:
        if child:
            _say(saying, f"{error}\n")
        os._exit(2)
    for name in [name for name in sys.modules if name.partition(".")[0] == "align"]:
        del sys.modules[name]  # a program finds the standard library alone
    if child:
        _test(apart.Side(answered, asking, True, lambda: _lost(child, saying)), told, saying)
    if os.getppid() != tester:  # it ended before its end could be a signal
        os._exit(2)
    _serve(apart.Side(asked, answering, False, lambda: os._exit(1)), program)


def _test(side: apart.Side, told: int, saying: int) -> None:
    """Have the program run, then run the tests beside it; say the token when both came to their ends. Never returns."""
    side.receive()  # the program's process is locked
    _say(saying, READY.decode())
    try:
        if failed := side.ask(["run"]):
            _say(saying, str(failed))
            os._exit(1)
        tests = compile(_received(told), "tests.py", "exec")
        names: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
        taken = side.ask(["names", sorted(_names_in(tests))])
        shadows = not any(callable(one) for name, one in taken.items() if name not in vars(builtins))
        # tests of a function called sum mean it; others' abs is Python's own, whatever the program calls abs
        names.update({name: one for name, one in taken.items() if shadows or name not in vars(builtins)})
        exec(tests, names)
        sys.stdout.flush()
        if failed := side.ask(["end"]):
            _say(saying, str(failed))
            os._exit(1)
        _say(saying, _received(told))
    except BaseException as error:  # SystemExit, too: whoever leaves before the tests ended has not passed
        _say(saying, _told(error))
        os._exit(1)
    os._exit(0)


def _names_in(code: types.CodeType) -> set[str]:
    """Return the names that code loads; of its texts and numbers, which may be the answers, nothing."""
    inner = [_names_in(one) for one in code.co_consts if isinstance(one, types.CodeType)]
    return set(code.co_names).union(*inner)


def _serve(side: apart.Side, program: str) -> None:
    """Run the program, and what its tests ask of it afterwards. Never returns."""
    names: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    failed = ""
    side.send(["locked"])
    while True:
        message = side.receive()
        try:
            if message[0] == "run":
                exec(compile(program, "program.py", "exec"), names)
            if message[0] == "end":
                sys.stdout.flush()
        except BaseException as error:
            failed = _told(error)
        if message[0] == "do":
            side.send(side.answer(message))
        elif message[0] == "names":
            there = {name: names[name] for name in message[1] if name in names and not name.startswith("__")}
            side.send(["gave", side.encode(there), []])
        else:
            side.send(["gave", failed, []])
        if message[0] == "end":
            os._exit(0)  # threads that are left end here


def _lost(child: int, saying: int) -> None:
    """Say how the program's process ended. Never returns, so tests cannot go on."""
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    _say(saying, f"ended before its tests did, with {ended}")
    os._exit(1)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"


def _say(saying: int, text: str) -> None:
    os.write(saying, text.encode(errors="replace"))


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
