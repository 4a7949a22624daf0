"""`millrace evaluate`: a model measured by tasks on local files, and held against another one."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any


def arguments(made: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    made.add_argument("model", nargs="?", help="a run that has a model, a Hugging Face folder, or a folder of results")
    made.add_argument(
        "tasks", nargs="*", metavar="TASK=FILES",
        help="perplexity, hellaswag, mmlu, gsm8k, ... and its files, commas between; LABEL:TASK=FILES tells two apart; "
        "--list says which there are",
    )  # fmt: skip
    made.add_argument(
        "--output", metavar="FOLDER", help="where results lie (default: runs/evaluate and the model's name)"
    )
    made.add_argument(
        "--against", metavar="MODEL", help="another model, or its folder of results, compared item by item"
    )
    made.add_argument(
        "--set", action="append", default=[], metavar="TASK.FIELD=VALUE", help="change a setting; repeatable"
    )
    made.add_argument("--limit", type=int, metavar="N", help="only the first N items of each task")
    made.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    made.add_argument("--device", default="cpu", metavar="DEVICE", help="cpu, cuda, cuda:1 (default: cpu)")
    made.add_argument(
        "--generator", default="engine", choices=["engine", "transformers"],
        help="what writes answers: millrace's engine, or, for families it has not, transformers",
    )  # fmt: skip
    made.add_argument("--list", action="store_true", help="list the tasks, and end")


def run(given: Any) -> int:
    """Evaluate, compare, and write the page."""
    from millrace import storage
    from serve.errors import ServeSettingsError
    from serve.evaluate.compare import compare
    from serve.evaluate.report.page import page, summary

    if given.list:
        print(listed())
        return 0
    if not given.model:
        raise ServeSettingsError("name a model, and tasks with their files: millrace evaluate MODEL TASK=FILES ...")
    if given.limit is not None and given.limit < 1:
        raise ServeSettingsError(f"--limit is {given.limit}; it must be at least 1")
    jobs = read_jobs(given.tasks, given.set, given.limit)
    if given.limit is not None and not jobs:
        raise ServeSettingsError(f"--limit {given.limit} is of tasks that are run: name them, TASK=FILES")
    made = _results(given.model, jobs, given, given.output)
    compared = storage.join(made.folder, "comparison.json")
    storage.remove(compared)  # of another model, or of what was measured before
    differences = against = None
    if given.against:
        against = _results(given.against, jobs, given, storage.join(made.folder, "against"), True)
        differences = compare(made, against)
        told = {
            label: {name: dataclasses.asdict(one) for name, one in found.items()}
            for label, found in differences.items()
        }
        storage.write_json(compared, {"model": made.model, "against": against.model, "tasks": told})
    report = storage.join(made.folder, "report.html")
    storage.write_bytes(report, page(made, against, differences).encode())
    print(summary(made, against, differences))
    print(f"results    {storage.join(made.folder, 'results.json')}")
    print(f"report     {report}")
    return 0


def listed() -> str:
    """Return the tasks, what they measure, and their settings."""
    from serve.evaluate.tasks import TASKS

    lines = []
    for name, one in TASKS.items():
        lines.append(f"{name:<16} {(one.__doc__ or '').strip().splitlines()[0]}")
        fields = [f"{each.name}={each.default!r}" for each in dataclasses.fields(one) if each.name != "path"]
        lines.append(f"{'':<16} {', '.join(fields)}")
    return "\n".join(lines)


def read_jobs(named: Iterable[str], settings: Iterable[str], limit: int | None = None) -> dict[str, Any]:
    """Return the tasks a command line names, by label. Raises ServeSettingsError and ConfigError, in one line."""
    from millrace.config import build, did_you_mean
    from pipelines.serving.rails import scorer
    from serve.errors import ServeSettingsError
    from serve.evaluate.evaluate import Job
    from serve.evaluate.tasks import TASKS, make

    chosen: dict[str, tuple[str, dict[str, Any]]] = {}
    for one in named:
        head, equals, paths = one.partition("=")
        label, colon, name = head.partition(":")
        name = name if colon else label
        if name not in TASKS:
            raise ServeSettingsError(f"no task is called {name}.{did_you_mean(name, TASKS)} Tasks: {', '.join(TASKS)}")
        if label in chosen:
            raise ServeSettingsError(f"{label} is named twice: LABEL:{name}=FILES gives each its own label")
        if not label.replace("-", "").replace("_", "").replace(".", "").isalnum() or label.startswith("."):
            raise ServeSettingsError(f"{one}: a label is of letters, digits, -, _ and .")
        chosen[label] = name, {"path": tuple(paths.split(","))} if equals else {}
    for setting in settings:
        label, field, value = _setting(setting, chosen)
        chosen[label][1][field] = value
    made = {}
    for label, (name, values) in chosen.items():
        values = {**({"limit": limit} if limit else {}), **values}
        if not values.get("path"):
            raise ServeSettingsError(
                f"{label} needs files: {label}=FILE, a glob in quotes, or several with commas between"
            )
        made[label] = Job(make(name, values, scorer), dataclasses.asdict(build(TASKS[name], values)))
    return made


def _setting(setting: str, chosen: Mapping[str, Any]) -> tuple[str, str, Any]:
    import yaml

    from millrace.config import did_you_mean
    from serve.errors import ServeSettingsError

    place, equals, text = setting.partition("=")
    label, dot, field = place.strip().rpartition(".")
    if not equals or not dot or not label:
        raise ServeSettingsError(f"--set {setting}: write TASK.FIELD=VALUE, such as mmlu.shots=5")
    if label not in chosen:
        raise ServeSettingsError(
            f"--set {setting}: {label} is no task of this command.{did_you_mean(label, chosen)} "
            f"Tasks: {', '.join(chosen) or 'none'}"
        )
    try:
        return label, field, yaml.safe_load(text)
    except yaml.YAMLError:
        raise ServeSettingsError(f"--set {setting}: {text!r} is not a YAML value") from None


def _results(named: str, jobs: Mapping[str, Any], given: Any, output: str | None, other: bool = False) -> Any:
    """Return a folder's results, or measure the model that is named; another one's under its name in the output."""
    from millrace import storage
    from millrace.progress import Progress
    from serve import model
    from serve.errors import ServeSettingsError
    from serve.evaluate import results
    from serve.evaluate.evaluate import evaluate
    from serve.evaluate.local.settings import LocalSettings

    named = storage.absolute(named)
    if storage.exists(storage.join(named, results.FILE)) and not storage.exists(storage.join(named, "config.json")):
        return _standing(named, jobs)
    found = model.find(named)
    if not jobs:
        raise ServeSettingsError(
            "name at least one task: TASK=FILES, such as perplexity=held-out.jsonl; --list lists them"
        )
    folder = storage.absolute(output or f"runs/evaluate-{found.name}")
    settings = LocalSettings(given.dtype, given.device, 0, given.generator)
    if other:
        folder = storage.join(folder, found.name)
    return evaluate(found, jobs, folder, settings, Progress(), open_subject, replaced=other)


def _standing(folder: str, jobs: Mapping[str, Any]) -> Any:
    """Return a folder's results. Raises ServeSettingsError where tasks, settings or files are others than named."""
    from serve.errors import ServeSettingsError
    from serve.evaluate import compare, results

    made = results.read(folder)
    assert made is not None
    for label, job in jobs.items():
        if label not in made.tasks:
            raise ServeSettingsError(
                f"{folder} holds results of {', '.join(made.tasks)}, and no model to measure {label}"
            )
        stands, read = compare.asked_of(made.tasks[label]), job.task.read()
        named = compare.Asked(job.task.name, job.settings, read.files, len(read.items))
        try:
            compare.refuse(label, stands, named)
        except ServeSettingsError as error:
            raise ServeSettingsError(f"{folder} holds results, and no model to measure anew; {error}") from None
    return made


def open_subject(found: Any, settings: Any) -> Any:
    """Return a model, opened as what it is."""
    if found.kind == "reward":
        from serve.evaluate.local.reward import Reward

        return Reward.load(found, settings.dtype, settings.device)
    from serve.evaluate.local.language import Language

    return Language(found, settings)
