"""The interface of a reward, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Completion:
    """A completion and the task it answers."""

    prompt: str  # as the user wrote it: the text of the last user turn
    text: str  # decoded, without special tokens
    prompt_tokens: np.ndarray  # int64
    tokens: np.ndarray  # int64, with the end token where it ended
    finished: bool  # it ended by itself, not by the limit of tokens
    task: Mapping[str, Any] = field(default_factory=dict)  # other fields of the record: answer, tests, ...


class Reward(Protocol):
    """Something that says what completions are worth."""

    @property
    def name(self) -> str:
        """Return what it is called in logs and tables."""
        ...

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        """Return a finite number for each completion. Raises RewardError."""
        ...
