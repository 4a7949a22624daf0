"""What every reward's numbers must be, and how one that fails is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from align.errors import RewardError
from align.rewards.reward import Completion

SHOWN = 60  # characters of a prompt in a message


def told(number: int, completion: Completion) -> str:
    """Name a completion for a message: its place, the record's id where there is one, how the prompt begins."""
    prompt = completion.prompt if len(completion.prompt) <= SHOWN else f"{completion.prompt[:SHOWN]}..."
    known = f"of record {completion.task['id']} " if "id" in completion.task else ""
    return f"completion {number} {known}(prompt {prompt!r})"


def first_line(error: BaseException) -> str:
    """Return an error's type and the first line of what it says."""
    said = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def each(name: str, rate: Callable[[Completion], float], completions: Sequence[Completion]) -> list[float]:
    """Rate completions one by one. Raises RewardError naming the one at which `rate` raised."""
    found = []
    for number, completion in enumerate(completions):
        try:
            found.append(rate(completion))
        except RewardError:
            raise
        except Exception as error:
            where = told(number, completion)
            raise RewardError(f"reward {name} failed at {where}: {first_line(error)}") from error
    return found


def checked(name: str, values: Iterable[float], completions: Sequence[Completion]) -> list[float]:
    """Return the values as floats. Raises RewardError where they are too few, too many, or no finite numbers."""
    given = list(values)
    if len(given) != len(completions):
        raise RewardError(f"reward {name} gave {len(given)} values for {len(completions)} completions")
    found = []
    for number, (value, completion) in enumerate(zip(given, completions)):
        try:
            rated = float(value)
        except (TypeError, ValueError):
            rated = math.nan
        if not math.isfinite(rated):
            raise RewardError(f"reward {name} is {value!r} for {told(number, completion)}; it must be a finite number")
        found.append(rated)
    return found


def answer_of(name: str, completion: Completion, field: str) -> object:
    """Return a field of the task. Raises RewardError where the record has none, naming those it has."""
    if field not in completion.task:
        there = ", ".join(sorted(completion.task)) or "none"
        raise RewardError(f"reward {name} needs field {field} of the task; the record's other fields: {there}")
    return completion.task[field]
