"""Throughput of `millrace serve` over real sockets at 1 and 16 clients, beside transformers' generate in batch."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import ours_generate
from benchmarks.report import ratio, setting, spread, table, write_result
from benchmarks.serve_client import Process, post, serving
from tests.align import tiny

CLIENTS = 16
TOKENS = 64  # of a completion


def folder(place: Path) -> Any:
    """Write the 3.5 M model with a tokenizer, and return it."""
    tiny.tokenizer(place, 512)
    made = ours_generate.model(*ours_generate.MODELS["3.5 M"])
    made.generation_config.eos_token_id = None
    made.save_pretrained(place)
    return made


async def clients(server: Process, prompts: list[np.ndarray], at_once: int, stream: bool) -> dict[str, Any]:
    """Ask for a completion of each prompt, so many at once; return tokens, CPU and wall seconds, first tokens."""
    waiting = list(enumerate(prompts))
    firsts: list[float] = []
    counts: list[int] = []

    async def client() -> None:
        while waiting:
            number, prompt = waiting.pop()
            body = {"prompt": prompt.tolist(), "max_tokens": TOKENS, "ignore_eos": True, "seed": number}
            more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
            answer = await post(server.port, "/v1/completions", body | more)
            told = answer.events[-1] if stream else answer.content
            counts.append(told["usage"]["completion_tokens"])
            if stream:
                firsts.append(answer.first)

    cpu, begun = server.cpu(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(at_once)))
    wall = time.perf_counter() - begun
    return {"tokens": sum(counts), "cpu": server.cpu() - cpu, "wall": wall, "firsts": firsts}


def measure(server: Process, made: Any, rounds: int, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """Run all sides in turn."""
    prompts = ours_generate.prompts("ragged")
    some, many = prompts[: 4 if quick else 16], prompts * (1 if quick else 3)
    told: dict[str, list[dict[str, Any]]] = {}
    for round_ in range(rounds + 1):
        for at_once, given in ((1, some), (CLIENTS, many)):
            for stream in (False, True):
                one = asyncio.run(clients(server, given, at_once, stream))
                told.setdefault(f"{at_once} {'stream' if stream else 'whole'}", []).append(one)
        cpu, begun = time.process_time(), time.perf_counter()
        tokens = ours_generate.theirs(made, prompts, TOKENS, (), round_)
        took = {"tokens": tokens, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - begun, "firsts": []}
        told.setdefault("generate", []).append(took)
    return {name: rows[1:] for name, rows in told.items()}  # the first round warms up


def main() -> None:
    """Measure all and write the result."""
    torch.set_num_threads(1)
    with setting(__doc__ or "", with_peers=False) as given:
        made = folder(given.work / "model")
        with serving(given.work / "model", given.work / "log.jsonl") as server:
            told = measure(server, made, given.rounds, given.quick)
        write_result("serve_http", "Throughput of the server", given, ["torch", "transformers", "uvicorn"], page(told))


def page(told: dict[str, list[dict[str, Any]]]) -> str:
    """Return the tables."""
    names = {"1 whole": "1 client", "16 whole": "16 clients", "1 stream": "1 client, streams",
             "16 stream": "16 clients, streams", "generate": "generate, batch of 16"}  # fmt: skip
    rows = []
    for name, label in names.items():
        runs = told[name]
        firsts = [1000 * one for run in runs for one in run["firsts"]]
        late = [f"{statistics.median(firsts):.0f}", f"{np.percentile(firsts, 99):.0f}"] if firsts else ["", ""]
        wall = spread([one["tokens"] / one["wall"] for one in runs], 0)
        rows.append([label, spread([one["tokens"] / one["cpu"] for one in runs], 0), wall, *late])
    head = ["", "tokens a CPU s", "tokens a second", "first token, p50 ms", "p99 ms"]

    def cost(name: str, which: str) -> list[float]:
        return [one[which] / one["tokens"] for one in told[name]]

    seconds, cpu = (ratio(cost("1 whole", one), cost("16 whole", one)) for one in ("wall", "cpu"))
    whole, stream = (ratio(cost("generate", "cpu"), cost(f"16 {one}", "cpu")) for one in ("whole", "stream"))
    lines = [
        "A Llama of 3.5 M parameters with random weights, float32, one thread; prompts of 16 to 47 token ids, "
        f"{TOKENS} tokens each at temperature 1. CPU seconds are the server's whole process: HTTP, JSON, text and the "
        "model; the clients run beside it on the same cores. generate is called in a process of its own while the "
        "server rests, and gives token ids alone.\n",
        table(head, rows),
        f"\n- 16 clients by 1 client, tokens a second: {seconds}; a CPU second: {cpu}; target 3",
        f"- 16 clients by generate in batch, tokens a CPU second: {whole}; streams {stream}; target 1",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
