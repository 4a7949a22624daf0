"""A model measured by tasks, one after another, each written as soon as it is done."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from millrace import storage
from millrace.markup import plural
from millrace.progress import Progress
from serve.errors import EvaluationError, ModelFolderError
from serve.evaluate import results
from serve.evaluate.local.settings import LocalSettings
from serve.evaluate.results import Results
from serve.evaluate.task import Subject, Task
from serve.model import ModelFolder


@dataclass(frozen=True)
class Job:
    """A task under its label, with the settings its numbers depend on."""

    task: Task
    settings: Mapping[str, Any]


def evaluate(
    found: ModelFolder, jobs: Mapping[str, Job], folder: str, settings: LocalSettings, progress: Progress,
    opens: Callable[[ModelFolder, LocalSettings], Subject], replaced: bool = False,
) -> Results:  # fmt: skip
    """Measure a model by every task that does not stand in the folder already; return all that stands there then.

    Every file is read before the model is opened, and every task looks at the model before any is run. replaced:
    another model's results give way. Raises EvaluationError, ModelFolderError and ServeSettingsError.
    """
    results.refuse_output(folder)
    for label, job in jobs.items():
        if job.task.wants != found.kind:
            raise ModelFolderError(f"{found.folder} is a {found.kind} model; {label} measures a {job.task.wants} model")
    reads = {label: job.task.read() for label, job in jobs.items()}
    facts, run = results.model_facts(found), results.run_facts(settings)
    keys = {
        label: results.key_of(job.task.name, job.settings, reads[label].files, facts, run)
        for label, job in jobs.items()
    }
    with _held(folder):
        there = results.ready(folder, facts, replaced)
        for label in (one for one in jobs if there.get(one) == keys[one]):
            progress.say(f"{label}: stands in {folder} already, with the same settings, files and model")
        left = {label: jobs[label].task for label in jobs if there.get(label) != keys[label]}
        subject = opens(found, settings) if left else None
        for label, task in left.items():
            assert subject is not None
            task.check(subject, reads[label], label)
        for label, task in left.items():
            assert subject is not None
            progress.say(f"{label}: {plural(len(reads[label].items), 'item')}")
            result = task.run(subject, reads[label])
            told = dataclasses.replace(result, settings=dict(jobs[label].settings))
            results.add(folder, facts, run, label, keys[label], told)
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
