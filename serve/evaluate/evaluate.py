"""A model measured by tasks, one after another, each written as soon as it is done."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from millrace import storage
from millrace.progress import Progress
from serve.errors import EvaluationError, ModelFolderError
from serve.evaluate import results
from serve.evaluate.local.settings import LocalSettings
from serve.evaluate.results import Results
from serve.evaluate.task import Read, Subject, Task
from serve.model import ModelFolder


@dataclass(frozen=True)
class Job:
    """A task under its label, with the settings its numbers depend on."""

    task: Task
    settings: Mapping[str, Any]


def evaluate(
    found: ModelFolder, jobs: Mapping[str, Job], folder: str, settings: LocalSettings, progress: Progress,
    opens: Callable[[ModelFolder, LocalSettings], Subject],
) -> Results:  # fmt: skip
    """Measure a model by every task that does not stand in the folder already; return all that stands there then.

    Every file is read before the model is opened. Raises EvaluationError, ModelFolderError and ServeSettingsError.
    """
    for label, job in jobs.items():
        if job.task.wants != found.kind:
            raise ModelFolderError(f"{found.folder} is a {found.kind} model; {label} measures a {job.task.wants} model")
    facts = results.model_facts(found, settings.dtype, settings.device)
    with _held(folder):
        there = results.ready(folder, facts)
        left: dict[str, tuple[Task, Read, str]] = {}
        for label, job in jobs.items():
            read = job.task.read()
            key = results.key_of(job.task.name, job.settings, read.files, facts)
            if there.get(label) == key:
                progress.say(f"{label}: stands in {folder} already, with the same settings, files and model")
            else:
                left[label] = job.task, read, key
        subject = opens(found, settings) if left else None
        for label, (task, read, key) in left.items():
            assert subject is not None
            progress.say(f"{label}: {len(read.items):,} items")
            result = task.run(subject, read)
            results.add(folder, facts, label, key, dataclasses.replace(result, settings=dict(jobs[label].settings)))
            progress.say(f"{label}: {result.seconds:.1f} s")
        made = results.read(folder)
    if made is None:
        raise EvaluationError(f"nothing was evaluated: {folder} holds no result")
    return made


@contextlib.contextmanager
def _held(folder: str) -> Any:
    """Hold a folder of results. Raises ModelFolderError where another evaluation writes it."""
    try:
        with storage.lock(storage.join(folder, ".lock"), "an evaluation"):
            yield
    except BlockingIOError:
        raise ModelFolderError(f"another evaluation writes {folder}: name another folder with --output") from None
