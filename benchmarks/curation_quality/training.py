"""The models: `millrace pretrain` on each arm and seed, as many at a time as there are cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import ROOT


@dataclass(frozen=True)
class Size:
    """A model, and what it is trained on."""

    vocabulary: int
    tokens: int
    length: int
    batch: int
    model: dict[str, object]
    lr: float
    precision: str
    at_once: int  # runs side by side
    arms: tuple[str, ...]

    @property
    def steps(self) -> int:
        return self.tokens // (self.length * self.batch)

    def device(self) -> str:
        """Name the device it is trained on."""
        if self.precision == "fp32":
            return "no GPU used"
        import torch

        return str(torch.cuda.get_device_name())

    def settings(self, seed: int) -> list[str]:
        """Return the run's settings, as `--set` takes them."""
        given: dict[str, object] = {f"model.{name}": value for name, value in self.model.items()}
        given |= {
            "data.validation_share": 0, "data.seed": seed, "training.seed": seed, "training.steps": self.steps,
            "training.global_batch": self.batch, "training.micro_batch": min(self.batch, 16),
            "training.precision": self.precision, "optimizer.lr": self.lr, "optimizer.min_lr": self.lr / 100,
            "optimizer.warmup_steps": self.steps // 15, "checkpoint.every_steps": self.steps, "watch.log_every": 50,
        }  # fmt: skip
        return [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in given.items()]


SIZES = {
    # 1.8 M parameters, the model of `millrace demo --full`: 0.7 M tokens take some four CPU minutes
    "cpu": Size(4096, 700_000, 512, 2,
                {"layers": 4, "hidden_size": 128, "heads": 4, "kv_heads": 2, "ffn_size": 352, "init_std": 0.06},
                4e-3, "fp32", 2, ("raw", "control", "curated", "polluted")),
    # GPT-2's smallest shape; six runs in ten minutes are an estimate, of 0.8 M tokens a second: it never ran on a GPU
    "gpu": Size(32_000, 60_000_000, 1024, 64,
                {"layers": 12, "hidden_size": 768, "heads": 12, "ffn_size": 2048, "tied_embeddings": True},
                1e-3, "bf16", 1, ("raw", "control", "curated")),
}  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A run of training."""

    run: Path
    seconds: float
    loss: float  # of the last logged step, nats a token of its own arm's text


def train(size: Size, seed: int, shards: Path, run: Path) -> Trained:
    """Train one model; a run that was finished before is taken as it is. Exits where training fails."""
    began = time.monotonic()
    words = [f"--set={one}" for one in size.settings(seed)]
    config = run.with_suffix(".yaml")
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("{}\n")
    command = [sys.executable, "-c", "import sys; from pipelines.cli import main; sys.exit(main())", "pretrain",
               str(config), "--shards", str(shards), "--output", str(run), *words]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} if size.precision == "fp32" else {**os.environ}
    with run.with_suffix(".log").open("wb") as log:
        code = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log).returncode
    if code:
        sys.exit(f"training {run.name} ended with code {code}; see {run.with_suffix('.log')}")
    return Trained(run, time.monotonic() - began, _last_loss(run))


def train_all(size: Size, wanted: Iterable[tuple[int, Path, Path]]) -> list[Trained]:
    """Train (seed, shards, run) after another, `size.at_once` side by side; return them in the order given."""
    with ThreadPoolExecutor(size.at_once) as pool:
        return list(pool.map(lambda one: train(size, *one), wanted))


def _last_loss(run: Path) -> float:
    lines = (run / "log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines if '"loss"' in line]
    return float(losses[-1])
