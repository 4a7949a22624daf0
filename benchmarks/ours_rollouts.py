"""One worker of benchmarks.rollout_queue: pulls from the queue, or completes its fixed share.

python -m benchmarks.ours_rollouts RANK WORKERS PORT CASES ANSWER
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from align.rollout.generator import Request, Rollout, Sampling
from align.rollout.queue import Collected, chunks, gather, work

SECONDS_A_STEP = 1.5e-4  # simulated: of one decoding step of a chunk, whatever its size
CHUNK, GROUP = 8, 8
VOCABULARY, STOPS = 512, 4  # of the real model: a completion ends at one of these tokens


class Waiting:
    """A generator of given lengths that takes as long as its longest completion has steps, and computes nothing."""

    version = 0

    def __init__(self, lengths: Sequence[int]):
        self.lengths = lengths

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Rollout]:
        """Wait; a request's seed is its place in `lengths`."""
        mine = [self.lengths[one.seed] for one in requests]
        time.sleep(max(mine) * SECONDS_A_STEP)
        return [Rollout(np.zeros(n, np.int64), np.zeros(n, np.float32), "stop", 0) for n in mine]


def model() -> Any:
    """Return the Llama of 3.5 M parameters, with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=704, num_hidden_layers=4, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=2048,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def share(count: int, rank: int, workers: int) -> list[list[int]]:
    """Return the chunks of a static split: equally many whole groups each, in the order of the requests."""
    groups = [list(range(at, at + GROUP)) for at in range(0, count, GROUP)]
    return groups[rank::workers]


def run(case: dict[str, Any], generator: Any, store: Any, rank: int, workers: int) -> tuple[Collected, float]:
    """Complete one case on all workers, which start together; return what came of it, and all their CPU seconds."""
    rng = np.random.default_rng(case["seed"])
    prompts = rng.integers(0, VOCABULARY, (case["count"] // GROUP, 32))
    requests = [Request(prompts[i // GROUP], i) for i in range(case["count"])]
    sampling = Sampling(max_tokens=case["max_tokens"], stop=tuple(range(STOPS)))
    if case["side"] == "static":
        cut, key = share(case["count"], rank, workers), f"{case['key']}/{rank}"
    else:
        cut, key = chunks(requests, case["expected"] or [0.0] * case["count"], CHUNK, workers), case["key"]
    dist.barrier()
    began = time.process_time()
    mine = work(requests, sampling, generator or Waiting(case["lengths"]), store, key, cut)
    cpu = torch.tensor(time.process_time() - began)
    dist.all_reduce(cpu)
    return gather(mine, case["count"]), cpu.item()


def main(rank: int, workers: int, port: int, cases: Path, answer: Path) -> None:
    """Run all cases and write what came of them."""
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", port, workers, rank == 0)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=workers)
    given = json.loads(cases.read_text())
    generator = None
    if given["real"]:
        from align.rollout.transformers import TransformersGenerator

        generator = TransformersGenerator(model(), own=True)
    told = []
    for case in given["cases"]:
        made, cpu = run(case, generator, store, rank, workers)
        lengths = [len(one.tokens) for one in made.rollouts]
        told.append({"idle": made.idle, "seconds": made.seconds, "cpu": cpu, "lengths": lengths})
    if rank == 0:
        answer.write_text(json.dumps(told))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), *map(Path, sys.argv[4:6]))
