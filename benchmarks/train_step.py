"""A training step on the CPU: our engine beside a plain PyTorch loop over the same model (transformers' Llama).

python -m benchmarks.train_step

The same shape, rows, optimizer and clipping; each side in a process of its own, one thread, told in turn to run
a round of steps. Weights are each side's own first ones: the losses of both are shown.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.measure import ROOT
from benchmarks.report import setting, spread, table, write_result

VOCABULARY, LENGTH, ROWS = 4096, 256, 4
SHAPE = {"layers": 6, "hidden_size": 320, "heads": 8, "kv_heads": 4, "ffn_size": 864}
OPTIMIZER = {"lr": 1e-3, "min_lr": 1e-3, "schedule": "constant", "clip": 1.0, "weight_decay": 0.1}
STEPS = 6  # a round


def main() -> None:
    with setting(__doc__.splitlines()[0], with_peers=False) as given:
        rounds = 1 if given.quick else given.rounds
        seconds: dict[str, list[float]] = {"engine": [], "plain": []}
        losses: dict[str, float] = {}
        with side("engine") as engine, side("plain") as plain:
            asked = {"engine": engine, "plain": plain}
            for number in range(rounds + 1):
                for name, ask in asked.items():
                    answer = ask()
                    losses[name] = answer["loss"]
                    if number:  # the first round warms up
                        seconds[name].append(answer["cpu"])
        tokens = STEPS * ROWS * LENGTH
        rows = [
            [label, spread((tokens / s for s in seconds[name]), 0), f"{losses[name]:.3f}"]
            for name, label in (("engine", "engine (Megatron-core)"), ("plain", "plain loop (transformers' Llama)"))
        ]
        times = [engine / plain for engine, plain in zip(seconds["engine"], seconds["plain"], strict=True)]
        body = (
            f"{SHAPE}, vocabulary {VOCABULARY}, fp32, one thread; a step is {ROWS} rows of {LENGTH} random tokens, "
            f"a round {STEPS} steps; sides in turn, {rounds} rounds after one to warm up. AdamW and clipping on both "
            "sides; the engine's step includes Megatron's gradient buffers and its gradient norm.\n\n"
            + table(["", "tokens a CPU second", "loss at the end"], rows)
            + f"\n\nEngine by plain loop, CPU seconds (1.10 at most wanted): {spread(times)}"
        )
        libraries = ["torch", "megatron-core", "transformers", "numpy"]
        write_result("train_step", "A training step beside a plain PyTorch loop", given, libraries, body)


@contextmanager
def side(name: str) -> Iterator[Callable[[], Any]]:
    """Start a side; what is yielded runs one round on it and returns its CPU seconds and loss."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "benchmarks.train_step", name]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) as process:
        heard, told = process.stdout, process.stdin

        def ask() -> Any:
            told.write("round\n")
            told.flush()
            line = heard.readline()
            return json.loads(line) if line else sys.exit(f"the side {name} ended")

        yield ask
        told.close()


def serve(name: str) -> None:
    """Run a round of steps for every line that comes in, and say what it took."""
    step = {"engine": engine_step, "plain": plain_step}[name]()
    number = 0
    for _ in sys.stdin:
        began = time.process_time()
        for _ in range(STEPS):
            loss = step(rows(number))
            number += 1
        print(json.dumps({"cpu": time.process_time() - began, "loss": loss}), flush=True)


def rows(number: int) -> np.ndarray:
    """Return ROWS rows of LENGTH + 1 random tokens."""
    return np.random.default_rng(number).integers(0, VOCABULARY, (ROWS, LENGTH + 1))


def make_engine() -> Any:
    """Return the engine, alone in its process group, on one thread."""
    import torch

    from millrace.config import build
    from pretrain.config import Config
    from pretrain.mcore import state
    from pretrain.mcore.engine import Engine

    sizes = {"tensor": 1, "pipeline": 1, "context": 1, "expert": 1, "sequence": False, "distributed_optimizer": False}
    sections = {
        "model": {**SHAPE, "vocab_size": VOCABULARY, "positions": LENGTH},
        "parallel": {**sizes, "overlap": False},
        "training": {"steps": 1000, "global_batch": ROWS, "micro_batch": ROWS},
        "optimizer": OPTIMIZER,
    }
    config = build(Config, sections)
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    state.start(config)
    return Engine(config)


def engine_step(engine: Any = None) -> Callable[[np.ndarray], float]:
    from pretrain.batch import Batch

    engine = engine or make_engine()
    positions = np.tile(np.arange(LENGTH), (ROWS, 1))
    bounds = np.arange(0, ROWS * LENGTH + 1, LENGTH, dtype=np.int32)

    def step(found: np.ndarray) -> float:
        tokens, labels = found[:, :-1].copy(), found[:, 1:].copy()
        ones = np.ones(tokens.shape, np.float32)
        gradients = engine.backward([Batch(tokens, labels, ones, positions, bounds, np.arange(ROWS))])
        engine.apply(gradients)
        return gradients.loss

    return step


def plain_step() -> Callable[[np.ndarray], float]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=SHAPE["hidden_size"], intermediate_size=SHAPE["ffn_size"],
            num_hidden_layers=SHAPE["layers"], num_attention_heads=SHAPE["heads"],
            num_key_value_heads=SHAPE["kv_heads"], max_position_embeddings=LENGTH, rms_norm_eps=1e-5,
            tie_word_embeddings=False, attn_implementation="sdpa", use_cache=False,
        )
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)

    def step(found: np.ndarray) -> float:
        tokens, labels = torch.from_numpy(found[:, :-1].copy()), torch.from_numpy(found[:, 1:].copy())
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(tokens).logits.flatten(0, 1), labels.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss)

    return step


if __name__ == "__main__":
    serve(sys.argv[1]) if sys.argv[1:2] in (["engine"], ["plain"]) else main()
