"""All that the page says, out of the folder of a demo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from millrace import storage
from pipelines.full import runner
from pipelines.full.measures import lines
from pipelines.full.plan import ALIGNED, MODELS, Step
from pipelines.full.runner import Record


@dataclass(frozen=True)
class Facts:
    """A demo that is done, up to the page."""

    name: str
    steps: Sequence[tuple[Step, Record]]
    curation: Any  # curator.report.gather.Facts
    pretraining: Any  # pretrain.report.gather.Facts
    aligned: dict[str, Any]  # step -> align.report.gather.Facts
    manifest: dict[str, Any]  # of the alignment data
    evaluation: dict[str, dict[str, Any]]  # model -> task -> {items, measures: {name: {value, stderr}}, seconds}
    examples: Sequence[dict[str, Any]]  # question, wanted, answers: model -> text
    served: dict[str, Any]
    bytes: dict[str, int]  # of what was made, by its folder
    environment: dict[str, Any] = field(default_factory=dict)


def gather(folder: str, steps: Sequence[Step]) -> Facts:
    """Read a demo's folder; every step before the page is done."""
    from align.report.gather import gather as aligned
    from curator.report.gather import gather as curated
    from curator.run.folder import RunFolder
    from pretrain.report.gather import gather as pretrained

    def at(*names: str) -> str:
        return storage.join(folder, *names)

    known = [(step, runner.read(folder, step.name)) for step in steps]
    pretraining = pretrained(at("pretrain"))
    measured = {name: storage.read_json(at("evaluation", f"{name}.json")) for name in MODELS}
    return Facts(
        name=folder.rstrip("/").rpartition("/")[2],
        steps=[(step, record) for step, record in known if record and record.done],
        curation=curated(RunFolder(at("curation"))),
        pretraining=pretraining,
        aligned={name: aligned(at(name)) for name in ALIGNED},
        manifest=storage.read_json(at("data", "manifest.json")),
        evaluation={name: one["tasks"] for name, one in measured.items()},
        examples=[
            one | {"answers": {name: of["answers"][one["question"]] for name, of in measured.items()}}
            for one in lines(at("data", "held", "questions.jsonl"))
        ],
        served=storage.read_json(at("served", "answer.json")),
        bytes={name: _bytes(at(*place)) for name, place in PLACES.items() if storage.exists(at(*place))},
        environment=pretraining.run.get("environment") or {},
    )


PLACES: dict[str, tuple[str, ...]] = {
    "curated documents": ("curation", "documents"),
    "packed tokens": ("curation", "tokens"),
    "alignment data": ("data",),
    "pretrained model": ("pretrain", "hf"),
    "aligned model": ("grpo", "hf"),
    "export, hf": ("export", "hf"),
}


def _bytes(url: str) -> int:
    """Return the bytes of a local folder's files."""
    return sum(file.bytes for file in storage.find(storage.join(url, "**", "*")))
