"""Whole alignment runs in this process: data files of each kind, a configuration, and the loop without a launcher."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch.distributed import HashStore

from align.config import Config
from align.run.start import prepare, write
from align.run.train import train
from millrace.config import build
from pretrain.machine import Machine
from pretrain.run.marks import Marks
from pretrain.run.place import Place
from pretrain.run.stop import Stop
from pretrain.run.stragglers import Stragglers
from pretrain.run.worker import Life

CPU = Machine(2, 8 << 30, 2, "cpu")
ASKED = [f"say {word} {number}" for word in ("fox", "dog", "nine", "one") for number in range(4)]
TIMING = ("seconds", "tokens_per_second", "memory_bytes", "rollout_seconds", "rollout_idle",
          "rollout_tokens_per_second", "validation_seconds")  # fmt: skip

RECORDS: dict[str, list[dict[str, Any]]] = {
    "messages": [
        {"messages": [{"role": "user", "content": one}, {"role": "assistant", "content": f"{one[-1]} the fox"}]}
        for one in ASKED
    ],
    "preference": [{"prompt": one, "chosen": "the quick fox", "rejected": f"dog {one[-1]} and"} for one in ASKED],
    "kto": [
        {"prompt": one, "completion": "the quick fox" if n % 2 else "dog and dog", "label": bool(n % 2)}
        for n, one in enumerate(ASKED)
    ],
    "helpsteer": [
        {"prompt": one, "response": "the fox" if n % 2 else "dog and", "helpfulness": 4 * (n % 2), "verbosity": 2}
        for n, one in enumerate(ASKED)
    ],
    "prompts": [{"prompt": one} for one in ASKED],
}  # fmt: skip


def data(folder: Path, kind: str) -> str:
    """Write a file of 16 records of a kind and return its path."""
    place = folder / f"{kind}.jsonl"
    place.write_text("".join(json.dumps(record) + "\n" for record in RECORDS[kind]))
    return str(place)


def configuration(method: str, start_from: str, path: str, **sections: Any) -> Config:
    """Return a configuration of a short run; sections change single settings."""
    defaults: dict[str, dict[str, Any]] = {
        "model": {"start_from": start_from, "max_length": 96},
        "data": {"path": path},
        "training": {"steps": 4, "global_batch": 4, "micro_tokens": 256},
        "optimizer": {"lr": 1e-3, "schedule": "constant"},
        "checkpoint": {"every_steps": 0},
        "watch": {"tensorboard": False, "validate_every": 0},
        "rollouts": {"max_tokens": 8},
        "parallel": {"ranks": 1},
    }  # fmt: skip
    given: dict[str, Any] = {name: {**values, **sections.pop(name, {})} for name, values in defaults.items()}
    return build(Config, {"method": method, **given, **sections})


class Killed(Exception):
    """What ends a run that is killed."""


def alone() -> Life:
    """Return the life of a job of one rank, without a process group."""
    torch.set_num_threads(1)
    store, stop = HashStore(), Stop()
    stop.meet(store)
    return Life(Place(0, 1, 0, 1, 0), Marks(), stop, Stragglers(store, 0, 1, 0.0), store)


def run(config: Config, folder: Path, kill_in: int = 0, signal_in: int = 0, life: Life | None = None) -> Path:
    """Run a configuration in a folder, to its end, or to the beginning of a step in which it is killed or signalled."""
    life = life or alone()

    def begins() -> None:
        if kill_in and life.marks.step == kill_in:
            raise Killed
        if signal_in and life.marks.step == signal_in:
            life.stop.signal = "SIGTERM"

    life.marks.on_step.append(begins)
    if life.place.rank == 0:
        write(prepare(config, CPU, str(folder / "work" / "data")), str(folder))
    if life.place.world > 1:
        torch.distributed.barrier()
    given = json.loads((folder / "run.json").read_text())["config"]
    with suppress(Killed):
        train(build(Config, given), str(folder), life)
    return folder


def lines(folder: Path) -> list[dict[str, Any]]:
    """Return what the log says of steps and validations, but for what depends on the clock and the machine."""
    found = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in one.items() if name not in TIMING} for one in found]


def steps(folder: Path, name: str) -> list[float]:
    """Return a metric of every step."""
    return [line[name] for line in lines(folder) if name in line]


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Return events of a kind."""
    found = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [one for one in found if one["kind"] == kind]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors that a run handed on."""
    from safetensors.torch import load_file

    return load_file(folder / "hf" / "model.safetensors")


def same(a: Path, b: Path) -> bool:
    """Tell whether two runs handed on the same weights, to the last bit."""
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
