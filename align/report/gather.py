"""What the report shows, read from the run folder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from align.run.samples import SAMPLES
from millrace import storage
from pretrain.errors import TrainingError
from pretrain.report.gather import kind_of
from pretrain.run.log import LOG
from pretrain.run.reading import read_events, whole_lines

KIND = "align"  # in run.json

Columns = dict[str, np.ndarray]  # step int64, all others float64 with NaN for what a line lacks; ascending by step


@dataclass(frozen=True)
class Facts:
    """One alignment run. Of run.json are used, where they are there: millrace (version), config and environment."""

    name: str
    run: dict[str, Any]
    steps: Columns
    validations: Columns  # by the metrics' own names
    events: list[dict[str, Any]]
    samples: dict[int, list[dict[str, Any]]]  # step -> lines of samples.jsonl, ascending by step

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return the configuration."""
        return self.run.get("config") or {}

    @property
    def method(self) -> str:
        """Return the method, as it is configured."""
        return str(self.settings.get("method", ""))


def gather(folder: str) -> Facts:
    """Read a run folder. Raises TrainingError where it holds no alignment run, or a file of it is damaged."""
    folder = storage.absolute(folder)
    if kind_of(folder) != KIND:
        raise TrainingError(f"{folder} holds no alignment run: there is no run.json of kind {KIND}")
    run = storage.read_json(storage.join(folder, "run.json"))
    steps: dict[int, dict[str, Any]] = {}
    validations: dict[int, dict[str, Any]] = {}
    for line in _lines(storage.join(folder, LOG)):  # the last line of a step holds
        (steps if "tokens" in line else validations)[line["step"]] = line
    samples: dict[int, list[dict[str, Any]]] = {}
    for line in _lines(storage.join(folder, SAMPLES)):
        samples.setdefault(line["step"], []).append(line)
    name = folder.rstrip("/").rpartition("/")[2]
    return Facts(name, run, _columns(steps), _columns(validations), read_events(folder), dict(sorted(samples.items())))


def _lines(url: str) -> Iterable[dict[str, Any]]:
    """Yield the lines of a JSONL file, each with its step; a torn last line is passed over, an absent file is empty."""
    for number, line in enumerate(whole_lines(url).splitlines(), 1):
        try:
            found = json.loads(line)
            yield found | {"step": int(found["step"])}
        except (ValueError, KeyError, TypeError):
            raise TrainingError(f"{url} is damaged: line {number} names no step: {line[:80]!r}") from None


def _columns(lines: Mapping[int, Mapping[str, Any]]) -> Columns:
    """Return numbers by their names, a row a step; what is no number is left out."""
    steps = sorted(lines)
    names = dict.fromkeys(name for step in steps for name in lines[step] if name != "step")
    columns = {name: np.array([_number(lines[step].get(name)) for step in steps]) for name in names}
    columns = {name.removeprefix("validation/"): values for name, values in columns.items()}
    return {"step": np.array(steps, np.int64), **columns}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
