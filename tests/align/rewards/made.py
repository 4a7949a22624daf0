"""Completions, made of little."""

from __future__ import annotations

from typing import Any

import numpy as np

from align.rewards.reward import Completion


def completion(
    text: str = "", prompt: str = "a task", tokens: int = 0, finished: bool = True, **task: Any
) -> Completion:
    """Return a completion of `tokens` made tokens, with the given other fields of its record."""
    return Completion(prompt, text, np.arange(3), np.arange(100, 100 + tokens), finished, task)
