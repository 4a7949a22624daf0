"""Training on one GPU: tokens/s, MFU, memory and what a checkpoint costs, for the 125M and 1B recipes.

make gpu-train

Each case is a run of `millrace pretrain` itself on random tokens: its log gives the numbers. MFU is of the dense
peak in the maker's sheet, and beside it of the matrix peak that torch reaches on this device now. Where Transformer
Engine is installed its layers are used and FP8 is tried too. --cpu runs a tiny model on the CPU instead: it shows
that the script works, and writes no result.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import setting, table, write_result
from millrace import megatron_index, storage
from millrace.progress import Progress
from pipelines import pretraining
from pretrain import plan, sizes
from pretrain.machine import Machine
from pretrain.run import peak
from pretrain.run.launch import launch
from pretrain.run.reading import read_events, read_log

WARM = 5  # steps that are not counted
MOST_SECONDS = 480.0  # of all cases: later ones are left out, and the result says so
GOAL = "1B: 45 % of a measured matrix peak of 790 TFLOP/s"
# name -> recipe, settings; a step is 0.25 M tokens or fewer, so that a case is about a minute
SMALL = {"model.vocab_size": 32_000, "training.global_batch": 2, "training.micro_batch": 1}
LARGE = {"model.vocab_size": 128_256, "training.steps": 20, "training.global_batch": 32, "training.micro_batch": 4}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "125M, bf16": (
        "llama-125m",
        {**SMALL, "training.steps": 30, "training.global_batch": 64, "training.micro_batch": 16},
    ),
    "1B, bf16": ("llama-1b", LARGE),
    "1B, fp8": ("llama-1b", {**LARGE, "training.precision": "fp8"}),
}
CPU = {"tiny, fp32": ("pretrain-tiny", {**SMALL, "training.steps": 12})}


def main() -> None:
    with setting(__doc__.splitlines()[0], with_peers=False, cpu={"action": "store_true"}) as given:
        import torch

        on_gpu = torch.cuda.is_available()
        if not on_gpu and not given.given.cpu:
            sys.exit("no CUDA device: this measures a GPU; --cpu tries the script on a tiny model")
        device = "cuda" if on_gpu else "cpu"
        matrix = peak.measured("bf16" if on_gpu else "fp32", device, device)
        began, rows = time.perf_counter(), []
        for name, (recipe, settings) in (CASES if on_gpu else CPU).items():
            if time.perf_counter() - began > MOST_SECONDS:
                rows.append([name, "left out: the time was over", *[""] * 6])
                continue
            rows.append([name, *case(recipe, settings, matrix.flops)])
        head = ["", "parameters", "tokens/s", "MFU, sheet", "of the matrix peak", "memory, GB", "save, s", "blocked, s"]
        where = torch.cuda.get_device_name() if on_gpu else "CPU"
        body = f"{where}; {matrix.source}. Random tokens, rows of 2,048. Goal: {GOAL}.\n\n{table(head, rows)}"
        if on_gpu:
            write_result("gpu_train", "Training on one GPU", given, ["torch", "megatron-core"], body)
        else:
            print(body)


def case(recipe: str, settings: dict[str, Any], matrix: float | None) -> list[str]:
    """Train one case; return its row of the table, or why it failed."""
    with tempfile.TemporaryDirectory(prefix="millrace-gpu-") as folder:
        try:
            return measured(recipe, settings, matrix, Path(folder))
        except Exception as error:
            return [f"failed: {str(error)[:200]}", *[""] * 6]


def measured(recipe: str, settings: dict[str, Any], matrix: float | None, folder: Path) -> list[str]:
    prefix = shards(folder / "shards")
    steps = settings["training.steps"]
    given = {
        **settings, "data.shards": f"[{prefix}]", "data.validation_share": 0.0, "training.export": "false",
        "checkpoint.every_steps": steps // 2, "watch.tensorboard": "false", "optimizer.warmup_steps": 2,
        "parallel.ranks": 1, "data.seq_length": LENGTH,
    }  # fmt: skip
    config = pretraining.load(recipe, [f"{name}={value}" for name, value in given.items()])
    assert config.model is not None
    finished = plan.resolve(config, Machine.here(), VOCABULARY, LENGTH)
    assert finished.model is not None
    run = folder / "run"
    storage.write_json(str(run / "run.json"), {"kind": "pretrain", "config": finished.as_dict()})
    launch(str(run), 1, 0, progress=Progress())
    log, saves = read_log(str(run)).steps, [e for e in read_events(str(run)) if e["kind"] == "save"]
    speed = float(np.median(log["tokens_per_second"][WARM:]))
    flops = sizes.flops_per_token(finished.model, LENGTH).total
    mfu = float(np.median(log["mfu"][WARM:]))
    return [
        f"{sizes.parameters(finished.model).total / 1e6:,.0f} M", f"{speed:,.0f}", f"{mfu:.1%}",
        f"{speed * flops / matrix:.1%}" if matrix else "", f"{log['memory_bytes'].max() / 1e9:.1f}",
        f"{saves[0]['seconds']:.1f}", f"{saves[0]['blocked_seconds']:.2f}",
    ]  # fmt: skip


LENGTH, VOCABULARY = 2048, 32_000


def shards(folder: Path) -> str:
    """Write 2,000 documents of 2,048 random tokens as a bare .bin and .idx; return their prefix."""
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (2_000, LENGTH)).astype(np.uint16)
    prefix = str(folder / "random")
    storage.write_bytes(f"{prefix}.bin", tokens.tobytes())
    lengths = np.full(len(tokens), LENGTH, np.int32)
    index = megatron_index.index(lengths, np.arange(len(tokens) + 1), np.dtype(np.uint16))
    storage.write_bytes(f"{prefix}.idx", index)
    return prefix


if __name__ == "__main__":
    main()
