"""How long a completion should be. DAPO's overlong penalty, which knows the limit of tokens, is among the losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from align.errors import AlignSettingsError
from align.rewards.check import each
from align.rewards.reward import Completion

COUNTS: dict[str, Callable[[Completion], int]] = {
    "tokens": lambda completion: len(completion.tokens),
    "words": lambda completion: len(completion.text.split()),
    "characters": lambda completion: len(completion.text),
}


@dataclass(frozen=True)
class Length:
    """Take up to 1 off for length: nothing up to `soft`, 1 from `hard` on, a straight line between.

    Or with `target`: the distance from it as a share of it, at most 1. From -1 to 0 in either case.
    """

    name: ClassVar[str] = "length"

    soft: int | None = None
    hard: int | None = None
    target: int | None = None
    unit: Literal["tokens", "words", "characters"] = "tokens"  # of a completion, its end token included

    def __post_init__(self) -> None:
        limits = (self.soft, self.hard)
        if (self.target is None) == (limits == (None, None)) or (self.target is None and None in limits):
            raise AlignSettingsError("reward length needs either target, or soft and hard")
        if self.target is not None and self.target < 1:
            raise AlignSettingsError(f"length.target is {self.target}; it must be at least 1")
        if self.soft is not None and self.hard is not None and not 0 <= self.soft < self.hard:
            raise AlignSettingsError(f"length.soft {self.soft} must be from 0 up to length.hard {self.hard}")

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        return each(self.name, self._rate, completions)

    def _rate(self, completion: Completion) -> float:
        count = COUNTS[self.unit](completion)
        if self.target is not None:
            return -min(1.0, abs(count - self.target) / self.target)
        assert self.soft is not None
        assert self.hard is not None
        return -min(1.0, max(0.0, (count - self.soft) / (self.hard - self.soft)))
