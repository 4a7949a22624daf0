"""Run folders with Megatron checkpoints, made of a Hugging Face folder's tensors: torch writes the format by itself."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint import FileSystemWriter, save

from align.config import Config as AlignConfig
from align.config import Model as AlignModel
from align.config import Peft
from millrace import storage, tables
from pretrain.config import Config, Data, Training
from pretrain.hf.tables import OUTPUT
from pretrain.hf.weights import Weights
from tests.pretrain.shard_sets import random_documents, write_shards


def pretrained(run: Path, folder: str, model: Any) -> Path:
    """Write a pretraining run of one checkpoint that holds a folder's weights, and its log; return the checkpoint."""
    shards = write_shards(run.parent / "shards", random_documents(20, model.vocab_size, 9), 16, model.vocab_size)
    config = Config(model=model, data=Data(shards=(str(shards),), seq_length=16), training=Training(steps=20))
    sets = {"sets": ["ab" * 32], "seed": 0}
    at = checkpoint(run / "checkpoints" / "step-00000020", megatron(folder, model), {"data": sets})
    environment = {"torch": "2.13.0"}
    told = {"kind": "pretrain", "millrace": "0.1.0", "config": config.as_dict(), "environment": environment}
    storage.write_json(str(run / "run.json"), told)
    lines = [
        {"step": 20, "rows": 640, "tokens": 10_240, "loss": 4.25, "lr": 3e-4},
        {"step": 20, "validation_loss": 4.5, "tokens": 320, "seconds": 0.1, "perplexity": 90.02},
    ]  # fmt: skip
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return at


def aligned(run: Path, base: str, method: str, tensors: dict[str, torch.Tensor], peft: Peft | None = None) -> Path:
    """Write an alignment run with one checkpoint of these tensors; return the checkpoint."""
    config = AlignConfig(method=method, model=AlignModel(start_from=base, backend="megatron", peft=peft))
    about = {"base model": f"{base} (abc)", "data": "xxh3 123"}
    told = {"kind": "align", "millrace": "0.1.0", "config": config.as_dict(), "about": about, "environment": {}}
    at = run / "checkpoints" / "step-00000003"
    write(at / "actor", tensors)
    finish(at, {})
    storage.write_json(str(run / "run.json"), told)
    line = {"step": 3, "tokens": 512, "loss": 0.5, "reward": 1.25}
    (run / "log.jsonl").write_text(json.dumps(line) + "\n")
    return at


def megatron(folder: str, model: Any, outputs: int = 0) -> dict[str, torch.Tensor]:
    """Return a folder's tensors in Megatron's layout, by Megatron's names."""
    weights = Weights(folder, model, outputs)
    whole: dict[str, torch.Tensor] = {}
    for matrix in weights._all():
        if matrix.key == OUTPUT and weights.fresh:
            continue
        made = weights.read(matrix.box)
        whole[matrix.key] = torch.cat([whole[matrix.key], made]) if matrix.key in whole else made
    return whole


def checkpoint(at: Path, tensors: dict[str, torch.Tensor], contents: dict[str, Any]) -> Path:
    write(at, tensors)
    finish(at, contents)
    return at


def write(at: Path, tensors: dict[str, torch.Tensor]) -> None:
    at.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        save(dict(tensors), storage_writer=FileSystemWriter(at), no_dist=True)


def finish(at: Path, contents: dict[str, Any]) -> None:
    """Write checkpoint.json, with every file's hash."""
    (at / "checkpoint.json").unlink(missing_ok=True)
    files = {str(one.relative_to(at)): tables.checksum(str(one)) for one in at.rglob("*") if one.is_file()}
    storage.write_json(str(at / "checkpoint.json"), {"format": 1, "step": int(at.name[5:]), **contents, "files": files})
