"""The tasks, by the names the command line has for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from millrace.config import build, did_you_mean
from serve.errors import ServeSettingsError
from serve.evaluate.task import Task
from serve.evaluate.tasks.benchmarks import ArcChallenge, ArcEasy, HellaSwag, Piqa, Race, Winogrande
from serve.evaluate.tasks.mathematics import Gsm8k, Math500
from serve.evaluate.tasks.mmlu import Mmlu
from serve.evaluate.tasks.multiple_choice import MultipleChoice
from serve.evaluate.tasks.perplexity import Perplexity
from serve.evaluate.tasks.programs import HumanEval
from serve.evaluate.tasks.reward_accuracy import RewardAccuracy
from serve.evaluate.tasks.safety import Safety, SafetySettings
from serve.evaluate.tasks.win_rate import WinRate
from serve.rails.classifier import ClassifierSettings, Scorer

TASKS: dict[str, type] = {
    one.name: one
    for one in (
        Perplexity,
        HellaSwag,
        Mmlu,
        Piqa,
        Winogrande,
        ArcEasy,
        ArcChallenge,
        Race,
        MultipleChoice,
        Gsm8k,
        Math500,
        HumanEval,
    )
}

TASKS |= {one.name: one for one in (RewardAccuracy, WinRate, SafetySettings)}  # judged by another model


def make(
    name: str, settings: dict[str, Any], open_scorer: Callable[[ClassifierSettings], Scorer] | None = None
) -> Task:
    """Return a task with its settings. Raises ServeSettingsError and ConfigError, in one line.

    open_scorer: opens a classifier, needed for the task safety; pipelines.serving has the curator's.
    """
    if name not in TASKS:
        raise ServeSettingsError(f"no task is called {name}.{did_you_mean(name, TASKS)} Tasks: {', '.join(TASKS)}")
    made: Any = build(TASKS[name], settings)
    if isinstance(made, SafetySettings):
        if open_scorer is None:
            raise ServeSettingsError("the task safety needs what opens its classifier")
        return Safety(made, open_scorer)
    task: Task = made
    return task
