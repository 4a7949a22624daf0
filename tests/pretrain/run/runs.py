"""Small training runs with real ranks: shards, a finished configuration, and what happens to the ranks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from millrace import storage
from millrace.config import build
from pretrain.config import Config
from tests.pretrain.mcore.cases import PARALLEL
from tests.pretrain.shard_sets import write_shards

LENGTH, VOCABULARY = 64, 200


def shards(folder: Path) -> str:
    """Write 200 documents of 49 tokens in which every second one follows from the one before."""
    generator = np.random.default_rng(0)
    documents = []
    for _ in range(200):
        tokens = generator.integers(1, 50, 2 * generator.integers(5, 60))
        tokens[1::2] = (tokens[::2] * 5 + 3) % 49 + 1
        documents.append(tokens.tolist())
    write_shards(folder, documents, LENGTH, VOCABULARY)
    return str(folder)


def configuration(place: str, **sections: dict[str, Any]) -> Config:
    """Return a finished configuration; sections change single settings."""
    model = {"layers": 2, "hidden_size": 64, "heads": 4, "kv_heads": 2, "ffn_size": 96, "vocab_size": VOCABULARY}
    defaults: dict[str, dict[str, Any]] = {
        "model": {**model, "positions": LENGTH},
        "data": {"shards": place, "seq_length": LENGTH, "validation_share": 0.1},
        "training": {"steps": 60, "global_batch": 8, "micro_batch": 2, "export": False},
        "optimizer": {"lr": 1e-2, "min_lr": 1e-3, "warmup_steps": 2},
        "parallel": {**PARALLEL, "ranks": 1},
        "checkpoint": {"every_steps": 10},
        "guard": {},
        "watch": {"log_every": 20, "validate_every": 20, "tensorboard": False, "peak_tflops": 1.0},
    }
    return build(Config, {name: {**values, **sections.get(name, {})} for name, values in defaults.items()})


def written(folder: Path, config: Config) -> str:
    """Write a run folder's run.json and return the folder."""
    storage.write_json(str(folder / "run.json"), {"kind": "pretrain", "config": config.as_dict()})
    return str(folder)


class AfterStep:
    """Calls `act` with the process of a rank, once, when the run has logged a step; a context."""

    def __init__(self, folder: str, step: int, rank: int, act: Callable[[psutil.Process], Any]):
        self.log, self.step, self.rank, self.act = Path(folder, "log.jsonl"), step, rank, act
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._wait, daemon=True)

    def _wait(self) -> None:
        while not self.done.wait(0.005):
            if self.log.exists() and self.log.read_bytes().count(b'"lr"') >= self.step:
                self.act(self._process())
                return

    def _process(self) -> psutil.Process:
        for process in psutil.Process(os.getpid()).children(recursive=True):
            if process.environ().get("RANK") == str(self.rank) and "pretrain.run.worker" in " ".join(process.cmdline()):
                return process
        raise AssertionError(f"no process of rank {self.rank}")

    def __enter__(self) -> AfterStep:
        self.thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.done.set()
        self.thread.join()
