"""A tiny model and its batches, trained under any parallel sizes; imported by ranks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from millrace.config import build
from pretrain.batch import Batch
from pretrain.config import Config

VOCABULARY, LENGTH = 500, 32
MODEL = {
    "layers": 4, "hidden_size": 64, "heads": 8, "kv_heads": 4, "ffn_size": 96, "vocab_size": VOCABULARY,
    "positions": LENGTH,
}  # fmt: skip
PARALLEL = {"tensor": 1, "pipeline": 1, "context": 1, "expert": 1, "sequence": False, "distributed_optimizer": False,
            "overlap": False}  # fmt: skip


def config(**sections: dict[str, Any]) -> Config:
    """Return a finished configuration of the tiny model; sections change single settings."""
    defaults: dict[str, dict[str, Any]] = {
        "model": MODEL,
        "parallel": PARALLEL,
        "training": {"steps": 20, "global_batch": 8, "micro_batch": 2, "seed": 1},
        "optimizer": {"lr": 1e-2, "min_lr": 1e-3, "warmup_steps": 2},
        "data": {"seq_length": LENGTH},
    }
    return build(Config, {name: {**values, **sections.get(name, {})} for name, values in defaults.items()})


def row(number: int, seed: int = 7) -> tuple[np.ndarray, list[int]]:
    """Return LENGTH learnable tokens and the bounds of their documents."""
    generator = np.random.default_rng([seed, number])
    tokens = generator.integers(0, VOCABULARY, LENGTH)
    tokens[1::2] = (tokens[::2] * 7 + 3) % VOCABULARY
    bounds = np.unique([0, LENGTH, *generator.integers(1, LENGTH, generator.integers(0, 3))])
    return tokens, bounds.tolist()


def batch(numbers: list[int], separate: bool = False) -> Batch:
    """Return rows as a micro-batch. separate: each document in a row of its own, padded."""
    rows = [row(number) for number in numbers]
    if separate:
        rows = [(tokens[a:b], [0, b - a]) for tokens, bounds in rows for a, b in itertools.pairwise(bounds)]
    shape = (len(rows), LENGTH)
    tokens, labels, positions = (np.zeros(shape, np.int64) for _ in range(3))
    weights, cu_seqlens = np.zeros(shape, np.float32), [0]
    for r, (content, bounds) in enumerate(rows):
        tokens[r, : len(content)] = content
        for a, b in itertools.pairwise(bounds):
            labels[r, a : b - 1], weights[r, a : b - 1] = content[a + 1 : b], 1
            positions[r, a:b] = np.arange(b - a)
            cu_seqlens.append(r * LENGTH + b)
        if bounds[-1] < LENGTH:
            cu_seqlens.append((r + 1) * LENGTH)
    return Batch(tokens, labels, weights, positions, np.array(cu_seqlens, np.int32), np.arange(len(rows)))


def micro_batches(settings: Config, step: int) -> list[Batch]:
    """Return this data-parallel rank's micro-batches of a step."""
    from pretrain.mcore import state

    rank, size = state.data_parallel()
    total, micro = settings.training.global_batch, settings.training.micro_batch
    first = step * total
    return [
        batch([first + (m * size + rank) * micro + r for r in range(micro)]) for m in range(total // (micro * size))
    ]


def train(cases: list[dict[str, Any]], steps: int = 4) -> list[list[tuple[float, float]]]:
    """Return (loss, gradient norm) of each step of each case, one after the other in these processes."""
    from pretrain.mcore import state
    from pretrain.mcore.engine import Engine

    results = []
    for number, case in enumerate(cases):
        settings = config(**case)
        (state.groups if number else state.start)(settings)
        engine = Engine(settings)
        done = []
        for step in range(steps):
            gradients = engine.backward(micro_batches(settings, step))
            engine.apply(gradients)
            done.append((gradients.loss, gradients.norm))
        results.append(done)
    return results


def drawn(cases: list[dict[str, Any]]) -> list[float]:
    """Return the first random number of this rank under each case's parallel sizes."""
    import torch

    from pretrain.mcore import state

    numbers = []
    for number, case in enumerate(cases):
        (state.groups if number else state.start)(config(**case))
        numbers.append(float(torch.rand(())))
    return numbers


def alone(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return all that laws ask of one process, which costs more to start than to run."""
    return {
        "curves": train(cases),
        "documents": documents(),
        "discarded": discarded(),
        "schedules": schedules(),
        "meta": meta(),
    }


def meta() -> str:
    """Return where a tensor is made that is wanted on no device."""
    import torch

    with torch.device("meta"):
        return str(torch.arange(2).device)


def documents() -> list[list[float]]:
    """Return losses of several models on packed rows, on the same documents a row each, and on documents alone."""
    from pretrain.mcore import state
    from pretrain.mcore.engine import Engine
    from tests.pretrain.mcore.test_laws import MODELS

    packed, apart, alone = [], [], []
    for case in MODELS.values():
        settings = config(**case)
        state.groups(settings)
        engine = Engine(settings)
        one, other = batch([1, 3, 5]), batch([1, 3, 5], separate=True)
        rows = [
            Batch(
                *(x[r : r + 1] for x in (other.tokens, other.labels, other.weights, other.positions)), bounds, one.rows
            )
            for r, bounds in enumerate(_bounds(other))
        ]
        for losses, batches in ((packed, [one]), (apart, [other]), (alone, rows)):
            total, labels = engine.evaluate(batches)
            losses.append(total / labels)
    return [packed, apart, alone]


def _bounds(made: Batch) -> list[np.ndarray]:
    count = len(made.tokens)
    return [
        np.array([0, *(b - r * LENGTH for b in made.cu_seqlens if r * LENGTH < b <= (r + 1) * LENGTH)], np.int32)
        for r in range(count)
    ]


def discarded() -> tuple[float, float, float]:
    """Return losses of one batch: at first, after a step that is discarded, after ten that are applied."""
    from pretrain.mcore import state
    from pretrain.mcore.engine import Engine

    settings = config()
    state.groups(settings)
    engine = Engine(settings)
    batches = micro_batches(settings, 0)
    before = engine.backward(batches).loss
    engine.discard()
    unchanged = engine.backward(batches).loss
    for _ in range(10):
        engine.apply(engine.backward(batches))
    return before, unchanged, engine.backward(batches).loss


def schedules() -> list[list[float]]:
    """Return the learning rates of 20 steps of each schedule."""
    import torch

    from pretrain.mcore.optimizer import scheduler

    rates = []
    for name in ("cosine", "wsd", "linear", "constant"):
        given = {"lr": 1.0, "min_lr": 0.1, "schedule": name, "warmup_steps": 2}
        settings = config(optimizer={**given, "decay_steps": 5} if name == "wsd" else given)
        plain = torch.optim.AdamW([torch.zeros(1)], lr=1.0)
        schedule = scheduler(settings, plain)
        rates.append([])
        for _ in range(20):
            schedule.step(1)
            rates[-1].append(plain.param_groups[0]["lr"])
    return rates
