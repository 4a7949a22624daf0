"""Unit-tested code: 1 where all tests of the task pass, run in a locked-down process (`jail.py`)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

from align.errors import AlignSettingsError, RewardError
from align.rewards import jail, locks
from align.rewards.check import answer_of, told
from align.rewards.reward import Completion

BLOCK = re.compile(r"^[ \t]*```[ \t]*(?:python3?|py)?[ \t]*$\n(.*?)^[ \t]*```", re.M | re.S | re.I)
PROBE = """
import os, socket
def denied(what, *given):
    try:
        what(*given)
    except OSError:
        return True
    return False
assert denied(socket.socket) and denied(os.fork) and denied(os.kill, 1, 0)
assert denied(open, "/etc/passwd") and denied(open, "../millrace-probe", "w") and denied(os.chmod, ".", 0o777)
"""


@dataclass(frozen=True)
class Code:
    """Reward code that passes its task's tests. Nothing runs where the platform cannot lock the process down.

    The tests are a field of the record: Python text (HumanEval: with entry_point, `check` is called with it), a list
    of statements (MBPP), or a list of {input, output}, whose output must be printed, but for space at line ends.
    The code is the completion's last ```python block, else its whole text. Only the standard library is there.

    Raises AlignSettingsError where the process cannot be locked down, saying why.
    """

    name: ClassVar[str] = "code"

    tests: str = "test"  # field of the record
    before: str = ""  # field whose text goes before the code; prompt: the prompt, as HumanEval needs
    seconds: float = 5.0  # of each program
    memory_mb: int = 512
    workers: int = 4  # programs at a time

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.memory_mb < 64 or self.workers < 1:
            raise AlignSettingsError("code needs seconds above 0, memory_mb of at least 64 and workers of at least 1")
        if why := refusal():
            raise AlignSettingsError(f"reward code is refused: untrusted code cannot be locked down here: {why}")

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(self._rate, range(len(completions)), completions))

    def _rate(self, number: int, completion: Completion) -> float:
        before = self._before(completion)
        limits = jail.Limits(seconds=self.seconds, memory_mb=self.memory_mb)
        for tests, stdin, wanted in cases(answer_of(self.name, completion, self.tests), completion.task):
            outcome = jail.run(before + extract(completion.text), tests, stdin, limits)
            if outcome.refused:
                raise RewardError(f"reward code ran nothing at {told(number, completion)}: {outcome.reason}")
            if not outcome.passed or (wanted is not None and _lines(outcome.output.decode(errors="replace")) != wanted):
                return 0.0
        return 1.0

    def _before(self, completion: Completion) -> str:
        if not self.before:
            return ""
        if self.before == "prompt":
            return f"{completion.task.get('prompt') or completion.prompt}\n"
        text = answer_of(self.name, completion, self.before)
        return f"{text}\n"


def extract(text: str) -> str:
    """Return the last fenced Python block of a completion, without its fences; the whole text where there is none."""
    blocks = BLOCK.findall(text)
    return blocks[-1] if blocks else text


def cases(tests: Any, task: Any) -> Iterator[tuple[str, str, list[str] | None]]:
    """Yield (tests in Python, standard input, lines of output that are wanted) of a task. Raises RewardError."""
    if isinstance(tests, str) and tests.strip():
        call = f"\ncheck({task['entry_point']})\n" if "entry_point" in task and "def check(" in tests else ""
        yield tests + call, "", None
    elif isinstance(tests, list | tuple) and tests and all(isinstance(one, str) for one in tests):
        yield "\n".join(tests), "", None
    elif isinstance(tests, list | tuple) and tests and all(map(_is_case, tests)):
        for one in tests:
            yield "", str(one["input"]), _lines(str(one["output"]))
    else:
        raise RewardError(
            f"tests are {str(tests)[:60]!r}; they must be Python text, a list of statements, or of {{input, output}}"
        )


@functools.cache
def refusal() -> str:
    """Return why code cannot be locked down here, or an empty string: a probe must find every way out closed."""
    if why := locks.missing():
        return why
    outcome = jail.run(PROBE, limits=jail.Limits(seconds=30))
    return "" if outcome.passed else outcome.reason


def _is_case(one: Any) -> bool:
    return isinstance(one, Mapping) and {"input", "output"} <= set(one)


def _lines(output: str) -> list[str]:
    return [line.rstrip() for line in output.rstrip().splitlines()]
