"""Tokens or text that are preferred: a task whose best answer is known, to see a method learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from align.errors import AlignSettingsError
from align.rewards.check import each
from align.rewards.reward import Completion


@dataclass(frozen=True)
class Pattern:
    """Reward the share of a completion's tokens that are among `tokens`; or 1 where `text` occurs in it, else 0."""

    name: ClassVar[str] = "pattern"

    tokens: tuple[int, ...] = ()
    text: str = ""

    def __post_init__(self) -> None:
        if bool(self.tokens) == bool(self.text):
            raise AlignSettingsError("reward pattern needs either tokens or text")

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        return each(self.name, self._rate, completions)

    def _rate(self, completion: Completion) -> float:
        if self.text:
            return float(self.text in completion.text)
        wanted = set(self.tokens)
        return sum(token in wanted for token in completion.tokens.tolist()) / max(len(completion.tokens), 1)
