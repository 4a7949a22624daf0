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
    "layers": 4, "hidden_size": 64, "heads": 8, "kv_heads": 4, "ffn_size": 96, "vocab_size": VOCABULARY, "positions": LENGTH,
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
