"""Whether a model has room for the answers that a task asks for, told before its weights are read."""

from __future__ import annotations

from serve.errors import ServeSettingsError
from serve.evaluate.task import Subject


def refuse_answers(subject: Subject, max_tokens: int, label: str) -> None:
    """Raise ServeSettingsError, naming task and setting, where answers of max_tokens leave no place for a prompt."""
    if max_tokens >= subject.positions:
        raise ServeSettingsError(
            f"{label}: max_tokens is {max_tokens}, but {subject.name} has {subject.positions} positions for prompt and "
            f"answer: --set {label}.max_tokens=N, below {subject.positions}"
        )
