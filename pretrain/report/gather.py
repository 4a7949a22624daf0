"""What the report shows, read from the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from millrace import storage
from pretrain.errors import TrainingError
from pretrain.run.reading import Log, read_events, read_log

KIND = "pretrain"  # in run.json, by which a training run is told from a curator's


@dataclass(frozen=True)
class Facts:
    """One training run.

    Of run.json are used, where they are there: millrace (version), config, environment, peak (`source`) and
    baselines (name -> nats a token, such as unigram_entropy).
    """

    name: str
    run: dict[str, Any]
    log: Log
    events: list[dict[str, Any]]


def gather(folder: str) -> Facts:
    """Read a run folder. Raises TrainingError where it holds no training run."""
    folder = storage.absolute(folder)
    if kind_of(folder) != KIND:
        raise TrainingError(f"{folder} holds no training run: there is no run.json of kind {KIND}")
    run = storage.read_json(storage.join(folder, "run.json"))
    return Facts(folder.rstrip("/").rpartition("/")[2], run, read_log(folder), read_events(folder))


def kind_of(folder: str) -> str:
    """Return what kind of run a folder's run.json says it holds; empty where it says none.

    Raises StorageError where run.json is not JSON.
    """
    url = storage.join(folder, "run.json")
    run = storage.read_json(url) if storage.exists(url) else None
    return str(run.get("kind", "")) if isinstance(run, dict) else ""
