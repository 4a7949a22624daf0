"""Idle time of workers that complete prompts: one queue for all beside a static split, lengths of a heavy tail."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks import ours_rollouts as ours
from benchmarks.measure import ROOT
from benchmarks.report import Setting, setting, spread, table, write_result

COUNT, REAL_COUNT = 1024, 96  # completions: 128 prompts of 8, and 12 of 8
MAX_TOKENS, REAL_MAX_TOKENS = 4096, 384
SIDES = {
    "static": "static split",
    "unknown": "queue, lengths unknown",
    "before": "queue, lengths of the epoch before",
    "exact": "queue, lengths known",
}


def lengths(kind: str, seed: int) -> tuple[list[int], list[float]]:
    """Return how long completions are, and how long those of the same prompts were an epoch before, by their mean.

    A prompt has a length of its own from the heavy tail; each of its completions is that times a log-normal of 0.5.
    """
    rng = np.random.default_rng([seed, len(kind)])
    prompts = COUNT // ours.GROUP
    own = 100 * (rng.pareto(1.5, prompts) + 1) if kind == "Pareto" else rng.lognormal(np.log(250), 1.0, prompts)
    drawn = [np.repeat(own, ours.GROUP) * rng.lognormal(0, 0.5, COUNT) for _ in range(2)]
    before, now = (one.clip(1, MAX_TOKENS).astype(int) for one in drawn)
    means = before.reshape(prompts, ours.GROUP).mean(1)
    return now.tolist(), np.repeat(means, ours.GROUP).tolist()


def simulated(kind: str, rounds: int) -> list[dict[str, Any]]:
    """Return the cases of one distribution: every side on the same lengths, in turn."""
    cases = []
    for seed in range(rounds):
        now, before = lengths(kind, seed)
        expected = {"before": before, "exact": now}
        cases += [
            {"side": side, "seed": seed, "count": COUNT, "max_tokens": MAX_TOKENS, "lengths": now,
             "expected": expected.get(side), "key": f"{kind}/{side}/{seed}"}
            for side in SIDES
        ]  # fmt: skip
    return cases


def real(rounds: int) -> list[dict[str, Any]]:
    """Return the cases of the real model; it draws the same tokens on every side."""
    return [
        {"side": side, "seed": seed, "count": REAL_COUNT, "max_tokens": REAL_MAX_TOKENS, "expected": None,
         "key": f"real/{side}/{seed}"}
        for seed in range(rounds) for side in ("static", "unknown")
    ]  # fmt: skip


def play(given: Setting, workers: int, cases: list[dict[str, Any]], is_real: bool = False) -> dict[str, list[Any]]:
    """Run cases on that many processes; return what came of them by side."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    asked, answer = given.work / "cases.json", given.work / "answer.json"
    asked.write_text(json.dumps({"real": is_real, "cases": cases}))
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.ours_rollouts"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with given.log("rollouts").open("wb") as log:
        started = [
            subprocess.Popen([*command, str(rank), str(workers), str(port), asked, answer], cwd=ROOT, env=environment,
                             stdout=log, stderr=log)
            for rank in range(workers)
        ]  # fmt: skip
        codes = [one.wait() for one in started]
    if any(codes):
        sys.exit(f"exit codes {codes}\n{given.log('rollouts').read_text()[-3000:]}")
    found: dict[str, list[Any]] = {}
    for case, told in zip(cases, json.loads(answer.read_text()), strict=True):
        found.setdefault(case["side"], []).append(told)
    return found


def rows(workers: int, found: dict[str, list[Any]], cost: str = "seconds") -> list[list[str]]:
    """Return a line a side: idle share, and the cost as a share of the static split's."""
    first = [one[cost] for one in found["static"]]
    lines = []
    for side, told in found.items():
        idle = [100 * one["idle"] for one in told]
        seconds = [one[cost] / base for one, base in zip(told, first, strict=True)]
        lines.append([str(workers), SIDES[side], spread(idle, 1), spread(seconds, 2)])
    return lines


def main() -> None:
    """Measure all and write the result."""
    with setting(__doc__ or "", with_peers=False) as given:
        head = ["workers", "side", "idle, %", "time, of the static split's"]
        body = [
            "*Idle* is the share of the workers' wall-clock time, from their common start to the end of the slowest, "
            "in which a worker was in no generator. One process a worker; the queue is a TCPStore of torch, the "
            f"completions are gathered by gloo. {COUNT} completions, {ours.GROUP} a prompt; chunks of at most "
            f"{ours.CHUNK}. Static split: equally many prompts to each worker, in turn.\n",
            "**What is simulated:** the first two tables compute nothing. A chunk *waits* "
            f"{ours.SECONDS_A_STEP * 1e6:.0f} us for each step of its longest completion, as a batch on a GPU takes "
            "about the same for a step whatever its size. Lengths: a prompt's own from the heavy tail, each of its "
            f"completions that times a log-normal of sigma 0.5, cut at {MAX_TOKENS}. Processes, store, queue and "
            "gathering are the real ones. *Lengths of the epoch before*: the mean of other completions of the same "
            "prompts, which is what `Lengths` remembers.\n",
        ]
        for kind in ("Pareto", "log-normal"):
            cases = simulated(kind, given.rounds)
            every = np.concatenate([one["lengths"] for one in cases[:: len(SIDES)]])
            quantiles = ", ".join(f"{np.quantile(every, q):.0f}" for q in (0.5, 0.9, 0.99, 1.0))
            lines = [line for workers in (2, 3, 4) for line in rows(workers, play(given, workers, cases))]
            body += [f"\n{kind} lengths (median, 90 %, 99 %, longest: {quantiles} tokens):\n", table(head, lines)]
        found = play(given, 2, real(given.rounds), is_real=True)
        drawn = [length for one in found["unknown"] for length in one["lengths"]]
        assert drawn == [length for one in found["static"] for length in one["lengths"]]
        body += [
            f"\n**A real model**: a Llama of 3.5 M parameters with random weights, `TransformersGenerator`, "
            f"{REAL_COUNT} completions, 2 workers of one thread each on this machine's cores. It ends at one of "
            f"{ours.STOPS} of {ours.VOCABULARY} tokens, so lengths are geometric, no heavy tail: median "
            f"{statistics.median(drawn):.0f}, longest {max(drawn)} of at most {REAL_MAX_TOKENS}. Both sides drew the "
            "same tokens. Other work ran on the same cores, so costs are CPU seconds of both workers; smaller chunks "
            "at the end cost more a token.\n",
            table([*head[:3], "CPU s, of the static split's"], rows(2, found, "cpu")),
            "\nTarget: idle below 5 % with the queue, with 2 to 4 workers.",
        ]
        write_result("rollout_queue", "Rollout queue", given, ["torch", "transformers"], "\n".join(body))


if __name__ == "__main__":
    main()
