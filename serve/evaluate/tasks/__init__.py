"""The tasks, by the names the command line has for them."""

from __future__ import annotations

from typing import Any

from millrace.config import build, did_you_mean
from serve.errors import ServeSettingsError
from serve.evaluate.task import Task
from serve.evaluate.tasks.benchmarks import ArcChallenge, ArcEasy, HellaSwag, Piqa, Race, Winogrande
from serve.evaluate.tasks.mmlu import Mmlu
from serve.evaluate.tasks.multiple_choice import MultipleChoice
from serve.evaluate.tasks.perplexity import Perplexity

TASKS: dict[str, type] = {
    one.name: one
    for one in (Perplexity, HellaSwag, Mmlu, Piqa, Winogrande, ArcEasy, ArcChallenge, Race, MultipleChoice)
}


def make(name: str, settings: dict[str, Any]) -> Task:
    """Return a task with its settings. Raises ServeSettingsError and ConfigError, in one line."""
    if name not in TASKS:
        raise ServeSettingsError(f"no task is called {name}.{did_you_mean(name, TASKS)} Tasks: {', '.join(TASKS)}")
    made: Task = build(TASKS[name], settings)
    return made
