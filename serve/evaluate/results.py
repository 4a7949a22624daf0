"""Results as files: RESULTS/results.json, and RESULTS/values/LABEL.parquet with a row an item.

A task that stands there with the same settings, files, models and machine is not run again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from millrace import __version__, storage, tables
from millrace.errors import StorageError
from serve.errors import EvaluationError, ModelFolderError
from serve.evaluate.content import content
from serve.evaluate.local.settings import LocalSettings
from serve.evaluate.task import Measure, Result
from serve.model import ModelFolder, weights_folder

FILE, VALUES, WEIGHT = "results.json", "values", "weight of "
FORMAT = 2  # raised when the same settings, files and model give other numbers, or a key is made otherwise


@dataclasses.dataclass(frozen=True)
class Results:
    """What is known of one model."""

    folder: str
    model: Mapping[str, Any]  # name, kind, weights
    tasks: Mapping[str, Result]  # by label
    keys: Mapping[str, str]  # label -> what its numbers depend on
    versions: Mapping[str, str]
    runs: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)  # label -> dtype, device, generator


def model_facts(found: ModelFolder) -> dict[str, str]:
    """Return what is known of a model before it is opened; weights: a hash of what is read of its folder.

    Reads every byte of these files.
    """
    return {"name": found.name, "kind": found.kind, "weights": content(found.folder)}


def run_facts(settings: LocalSettings) -> dict[str, str]:
    """Return what of the machine's part can change an answer; which card of a kind cannot."""
    return {"dtype": settings.dtype, "device": settings.device.partition(":")[0], "generator": settings.generator}


def key_of(
    name: str, settings: Mapping[str, Any], files: Mapping[str, str], model: Mapping[str, str], run: Mapping[str, str]
) -> str:
    """Return a hash of what a task's numbers depend on: not where files lie, nor what the model is called."""
    what = [FORMAT, name, asked(settings), identity(files), model["weights"], dict(run)]
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()


def identity(files: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (role, name without folder, SHA-256) of what was read, in its order: pairing and limits depend on it.

    Names are part of it: MMLU's own files tell the subject by theirs.
    """
    parts = [(*name.rpartition(": ")[::2], sum_) for name, sum_ in files.items()]
    return [(role, PurePosixPath(name).name, sum_) for role, name, sum_ in parts]


def asked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON has them, without where files lie."""
    return {name: _plain(one) for name, one in settings.items() if name not in ("path", "examples")}


def refuse_output(folder: str) -> None:
    """Raise ModelFolderError for a folder of results that is a model or a run."""
    if weights_folder(folder) or storage.exists(storage.join(folder, "run.json")):
        raise ModelFolderError(f"{folder} is a model or a run: name another folder for the results with --output")


def versions() -> dict[str, str]:
    """Return the versions of what scores depend on."""
    names = ("torch", "transformers", "tokenizers", "numpy")
    return {"millrace": __version__, "python": platform.python_version(), **{n: metadata.version(n) for n in names}}


def add(folder: str, model: Mapping[str, Any], run: Mapping[str, str], label: str, key: str, result: Result) -> None:
    """Write a task's result beside those that are there already, its values first."""
    if result.values:
        columns = {**result.values, **{WEIGHT + name: found for name, found in result.weights.items()}}
        table = pa.table({name: pa.array(np.asarray(found, np.float64)) for name, found in columns.items()})
        with tables.writing_table(_values(folder, label), table.schema) as writer:
            writer.write(table)
    there = storage.read_json(_file(folder)) if storage.exists(_file(folder)) else {"tasks": {}}
    told = dataclasses.asdict(result)
    del told["values"], told["weights"]
    there = {
        "model": model,
        "versions": versions(),
        "tasks": {**there["tasks"], label: {"key": key, "run": dict(run), **told}},
    }
    storage.write_json(_file(folder), _plain(there))


def read(folder: str) -> Results | None:
    """Return what stands in a folder, None where nothing does. Raises EvaluationError for what is no result."""
    if not storage.exists(_file(folder)):
        return None
    try:
        there = storage.read_json(_file(folder))
        made = {label: _result(folder, label, dict(told)) for label, told in there["tasks"].items()}
        runs = {label: told["run"] for label, told in there["tasks"].items()}
        keys = {label: told["key"] for label, told in there["tasks"].items()}
        return Results(folder, there["model"], made, keys, there["versions"], runs)
    except (StorageError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise EvaluationError(f"{_file(folder)} is no result of `millrace evaluate`: {error}") from None


def ready(folder: str, model: Mapping[str, str], replaced: bool = False) -> dict[str, str]:
    """Return the keys of the tasks that stand in a folder, by label.

    Another model's results are removed where they may be `replaced`, else ModelFolderError is raised.
    """
    there = read(folder)
    if there is None:
        return {}
    if there.model["weights"] != model["weights"]:
        if replaced:
            storage.remove(_file(folder))
            return {}
        raise ModelFolderError(
            f"{folder} holds results of another model, {there.model['name']}: name another folder with --output"
        )
    return dict(there.keys)


def _result(folder: str, label: str, told: dict[str, Any]) -> Result:
    del told["key"], told["run"]
    told["measures"] = {
        name: Measure(**{**one, "interval": tuple(one["interval"])} if one.get("interval") else one)
        for name, one in told["measures"].items()
    }
    values: dict[str, np.ndarray] = {}
    weights: dict[str, np.ndarray] = {}
    if storage.exists(_values(folder, label)):
        with tables.open_parquet(_values(folder, label)) as file:
            for name, column in zip(file.schema_arrow.names, file.read().columns):
                target = weights if name.startswith(WEIGHT) else values
                target[name.removeprefix(WEIGHT)] = column.to_numpy()
    return Result(**told, values=values, weights=weights)


def _file(folder: str) -> str:
    return storage.join(folder, FILE)


def _values(folder: str, label: str) -> str:
    return storage.join(folder, VALUES, f"{label}.parquet")


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; numbers that are none as null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
