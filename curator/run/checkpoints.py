"""The checkpoints of a run, as their done markers tell: which stages they ran, and examples of what was dropped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from curator.errors import RunError
from curator.run.folder import RunFolder
from millrace import storage

EXAMPLES = 24  # of each reason; the page lists fewer, and shows others beside the limit they lie beyond

Key = tuple[int, str]  # a stage's place in the pipeline, and a reason


@dataclass
class Checkpoint:
    """What the done markers of one segment say."""

    place: str  # its folder below the run
    stages: tuple[int, ...]  # places in the pipeline of the stages it ran
    examples: dict[Key, list[dict[str, Any]]] = field(default_factory=dict)


def checkpoints(folder: RunFolder, run: dict[str, Any]) -> list[Checkpoint]:
    """Return the checkpoints that run.json names, in order. Raises RunError where one is missing."""
    parts = storage.list_folder(folder.path("ledger"))
    if not all(storage.exists(folder.path(place)) for place in run["segments"]):
        raise RunError(
            f"{folder.url} was cleaned, and the texts a report shows went with its work folder; "
            "a report written before stays as it is"
        )
    return [_checkpoint(folder, place, parts) for place in run["segments"]]


def _checkpoint(folder: RunFolder, place: str, parts: list[str]) -> Checkpoint:
    """Read the markers of the parts that count, one after the other; keep a few examples."""
    stages: set[int] = set()
    ranked: dict[Key, list[tuple[int, dict[str, Any]]]] = {}
    present = set(storage.list_folder(folder.path(place, "done")))
    for name in parts:
        marker = name.removesuffix(".parquet") + ".json"
        if marker not in present:
            continue
        mark = storage.read_json(folder.path(place, "done", marker))
        stages |= {stage["index"] for stage in mark["stages"]}
        rank: dict[Key, int] = {}
        for example in mark.get("examples", []):
            key = (example["stage_index"], example["reason"])
            rank[key] = rank.get(key, 0) + 1
            best = [*ranked.get(key, []), (rank[key], example)]
            best.sort(key=lambda one: (one[0], one[1]["doc_id"]))  # the first of each part, then the second
            ranked[key] = best[:EXAMPLES]
    return Checkpoint(
        place, tuple(sorted(stages)), {key: [example for _, example in few] for key, few in ranked.items()}
    )
