"""What is known of how a model was made: the facts of its run, and of the runs that model came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from millrace import storage
from pretrain.errors import CheckpointError
from pretrain.report.gather import KIND as PRETRAIN
from pretrain.report.gather import kind_of
from pretrain.run.checkpoints import Folder, manifest
from serve.model import EXPORTED

ALIGN = "align"
_SIZES = ("ranks", "tensor", "pipeline", "virtual_pipeline", "context", "expert", "sequence", "distributed_optimizer")


@dataclass(frozen=True)
class Step:
    """One run on the way to a model: facts by name, in words; only what its folder says."""

    title: str
    facts: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)  # what was read -> its hash, "" where none was kept


def lineage(run: str) -> Iterator[Step]:
    """Yield the runs that made a model, the last first; nothing for a folder of which no run is known."""
    seen: set[str] = set()
    while run and run not in seen:
        seen.add(run)
        kind = kind_of(run)
        if kind not in (PRETRAIN, ALIGN):
            return
        told = storage.read_json(storage.join(run, "run.json"))
        yield _pretraining(run, told) if kind == PRETRAIN else _alignment(run, told)
        settings = told["config"]
        run = _parent(str(settings["training" if kind == PRETRAIN else "model"].get("start_from") or ""))


def _parent(folder: str) -> str:
    """Return the run that handed a Hugging Face folder on."""
    return folder.rpartition("/")[0] if folder.endswith("/" + EXPORTED) else ""


def _pretraining(run: str, told: Mapping[str, Any]) -> Step:
    from pretrain.report.gather import gather

    found, settings = gather(run), told["config"]
    steps, checks = found.log.steps, found.log.validations
    facts = _shared(told)
    facts |= _last(steps, {"steps": "step", "rows": "rows", "tokens learnt": "tokens", "last loss (nats)": "loss"})
    facts |= _last(checks, {"validation loss (nats)": "validation_loss", "validation perplexity": "perplexity"})
    training, optimizer = settings["training"], settings["optimizer"]
    facts |= {
        "batch": f"{training['global_batch']} rows of {settings['data']['seq_length']} tokens",
        "precision": training["precision"],
        "learning rate": f"{optimizer['lr']:g}, {optimizer['schedule']}", "seed": str(training["seed"]),
    }  # fmt: skip
    if training.get("start_from"):
        facts["started from"] = training["start_from"]
    shards = settings["data"]["shards"]
    return Step("Pretraining", facts, dict(zip(map(str, shards), _digests(run, len(shards)), strict=True)))


def _digests(run: str, count: int) -> list[str]:
    """Return the SHA-256 of each set's manifest, as the newest checkpoint keeps them; "" where there is none."""
    place = Folder.of(storage.join(run, "checkpoints"))
    for step in reversed(place.steps()):
        try:
            sets = manifest(place.at(step))["data"]["sets"]
        except (CheckpointError, KeyError, TypeError):
            continue
        if len(sets) == count:
            return [f"manifest SHA-256 {digest}" for digest in sets]
    return [""] * count


def _alignment(run: str, told: Mapping[str, Any]) -> Step:
    from align.report.gather import gather

    found, settings = gather(run), told["config"]
    about, model = told.get("about") or {}, settings["model"]
    facts = {"method": str(settings["method"])} | _shared(told)
    facts |= {"base model": str(about.get("base model", model["start_from"]))}
    if model.get("peft"):
        peft = model["peft"]
        facts["adapters"] = f"{peft['kind']}, merged" + (f", rank {peft['rank']}" if "lora" in peft["kind"] else "")
    names = {name: f"last {name}" for name in found.steps if name in ("loss", "reward", "kl", "accuracy")}
    facts |= _last(found.steps, {"steps": "step", "tokens learnt": "tokens"} | {v: k for k, v in names.items()})
    facts |= _last(found.validations, {f"validation {name}": name for name in found.validations if name != "step"})
    facts |= {"batch": f"{settings['training']['global_batch']} examples", "precision": str(model["precision"])}
    facts["learning rate"] = f"{settings['optimizer']['lr']:g}, {settings['optimizer']['schedule']}"
    named = settings["data"]["path"]
    files = [named] if isinstance(named, str) else list(named)
    digest = str(about.get("data", ""))
    return Step("Alignment", facts, dict.fromkeys(map(str, files), f"fingerprint of all {digest}" if digest else ""))


def _shared(told: Mapping[str, Any]) -> dict[str, str]:
    """Return what runs of both kinds say of how they ran."""
    parallel = told["config"]["parallel"]
    sizes = ", ".join(f"{name} {parallel[name]}" for name in _SIZES if parallel.get(name) not in (None, False))
    versions = ", ".join(f"{name} {version}" for name, version in (told.get("environment") or {}).items())
    return {"millrace": str(told["millrace"]), "parallel sizes": sizes, "software": versions}


def _last(columns: Mapping[str, np.ndarray], names: Mapping[str, str]) -> dict[str, str]:
    """Return the last known value of columns, in words: ours -> the column's; none for a column without values."""
    made = {}
    for ours, name in names.items():
        values = np.asarray(columns.get(name, ()), float)
        values = values[np.isfinite(values)]
        if len(values):
            whole = name in ("step", "rows", "tokens")
            made[ours] = f"{int(values[-1]):,}" if whole else f"{values[-1]:.4g}"
    return made
