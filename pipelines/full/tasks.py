"""Seeded arithmetic and tasks of form, whose answers are checked by `math` and `format` rewards."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipelines.full.draw import among, drawn

LARGEST = 9  # operands are 0 to it
FORM = r"^ ?\[ \d+ \]$"  # of an answer, as the reward `format` of demo-grpo asks for it
WEIGHT = 0.3  # of the form beside 1 for the right number, as demo-grpo weighs them


@dataclass(frozen=True)
class Task:
    """A prompt with the one right answer."""

    kind: str
    key: str  # what is asked, however it is worded: tasks of one key are on one side of the split
    prompt: str
    answer: str

    @property
    def completion(self) -> str:
        """The answer in the form that is rewarded; with spaces, as numbers are the same tokens then as in prompts."""
        return f"[ {self.answer} ]"


Wordings = tuple[str, ...]
# Words that documentation of a database has often: each is a token or two.
KINDS: dict[str, tuple[Wordings, Callable[[int, int], int | None]]] = {
    "sum": (("What is {0} + {1} ?", "The sum of {0} and {1} is ?"), lambda a, b: a + b),
    "larger": (
        ("The max of {0} and {1} is ?", "Which is larger: {0} or {1} ?"), lambda a, b: max(a, b) if a != b else None,
    ),
    "smaller": (
        ("The min of {0} and {1} is ?", "Which is smaller: {0} or {1} ?"), lambda a, b: min(a, b) if a != b else None,
    ),
    "first": (("Write the first of {0} and {1} in brackets.",), lambda a, b: a if a != b else None),
    "last": (("Write the last of {0} and {1} in brackets.",), lambda a, b: b if a != b else None),
}  # fmt: skip


def everything() -> Iterator[Task]:
    """Yield every task there is, in a fixed order."""
    for kind, (wordings, solve) in KINDS.items():
        for a, b in itertools.product(range(LARGEST + 1), repeat=2):
            right = solve(a, b)
            if right is not None:
                key = f"{kind} {min(a, b)} {max(a, b)}"  # 3 + 4 and 4 + 3 are one
                for wording in wordings:
                    yield Task(kind, key, wording.format(a, b), str(right))


def split(seed: int, share: float) -> tuple[list[Task], list[Task]]:
    """Return (training, held-out) tasks, each in a seeded order; `share` of the keys are held out, by their hash."""
    ordered = sorted(everything(), key=lambda one: drawn(one.prompt, seed))
    held = {one.key for one in ordered if among(one.key, seed, share)}
    return [one for one in ordered if one.key not in held], [one for one in ordered if one.key in held]
