"""A user's own function as a reward, in a process of its own that is ended where it hangs."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from align.errors import AlignSettingsError, RewardError
from align.rewards.check import checked, told
from align.rewards.reward import Completion

START_SECONDS = 120.0  # for the module's imports
ROOT = str(Path(__file__).resolve().parents[2])


@dataclass(frozen=True)
class Python:
    """Reward what a function returns: `def style(completion: align.rewards.reward.Completion) -> float`.

    It is trusted code, run in a child process started once. Raises AlignSettingsError where it cannot be imported,
    RewardError naming the completion where it raises, takes longer than `seconds`, or ends its process.
    """

    name: ClassVar[str] = "python"

    function: str  # module:function, or path/to/file.py:function
    seconds: float = 10.0  # for one completion
    child: Child = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        place, _, name = self.function.rpartition(":")
        if not place or not name.isidentifier():
            raise AlignSettingsError(
                f"python.function is {self.function!r}; it must be module:function or path/to/file.py:function"
            )
        if self.seconds <= 0:
            raise AlignSettingsError(f"python.seconds is {self.seconds}; it must be above 0")
        object.__setattr__(self, "child", Child())
        kind, said = self.child.ask((sys.path, place, name), START_SECONDS)
        if kind != "ok":
            self.child.end()
            raise AlignSettingsError(f"python.function {self.function} cannot be used: {said}")

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        return checked(self.name, [self._rate(number, one) for number, one in enumerate(completions)], completions)

    def _rate(self, number: int, completion: Completion) -> Any:
        kind, said = self.child.ask(completion, self.seconds)
        if kind == "ok":
            return said
        if kind != "raised":
            self.child.end()
        raise RewardError(f"reward python ({self.function}) failed at {told(number, completion)}: {said}")


class Child:
    """A process that answers one pickled message with another (`child.py`); it ends when this object does."""

    def __init__(self) -> None:
        code = f"import sys; sys.path.insert(0, {ROOT!r}); from align.rewards import child; child.main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self.end = weakref.finalize(self, _end, self._process)

    def ask(self, message: Any, seconds: float) -> tuple[str, Any]:
        """Return (kind, what): ok and a value; raised and a line; hung or ended, the process's last, and a line."""
        sent, received = self._process.stdin, self._process.stdout
        assert sent is not None
        assert received is not None
        if not self.end.alive:
            return "ended", "its process was ended before"
        body = pickle.dumps(message)
        try:
            sent.write(len(body).to_bytes(8, "big") + body)
            sent.flush()
        except BrokenPipeError:
            return "ended", self._ended()
        parts, ends = bytearray(), time.monotonic() + seconds
        while len(parts) < 8 or len(parts) < 8 + int.from_bytes(parts[:8], "big"):
            ready, _, _ = select.select([received], [], [], max(0.0, ends - time.monotonic()))
            if not ready:
                return "hung", f"no value within {seconds:g} seconds"
            part = os.read(received.fileno(), 65536)
            if not part:
                return "ended", self._ended()
            parts += part
        kind, said = pickle.loads(bytes(parts[8:]))
        return kind, said

    def _ended(self) -> str:
        return f"its process ended with {self._process.wait()}"


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)  # what it started, too
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
