"""Run it whole: arms, models, scores, result."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.curation_quality import __doc__ as protocol
from benchmarks.curation_quality import holdout
from benchmarks.curation_quality.arms import Pool, Workshop
from benchmarks.curation_quality.scoring import PARTS, Estimate, Scores, bits_per_byte, estimate, part_numbers, score
from benchmarks.curation_quality.training import SIZES, Size, Trained, train_all
from benchmarks.measure import ROOT
from benchmarks.report import Setting, setting, table, write_result

T = TypeVar("T")
Spent = tuple[float, float]  # seconds, CPU seconds
COMPARED = (("raw", "curated"), ("control", "curated"), ("raw", "control"), ("polluted", "raw"))
TITLES = {"cpu": "1.8 M parameters on two CPU cores", "gpu": "124 M parameters on a GPU"}


@dataclass(frozen=True)
class Found:
    """All that was measured."""

    pools: dict[str, Pool]
    models: dict[tuple[str, int], tuple[Trained, Scores]]  # (arm, seed)
    parts: np.ndarray  # of held-out documents
    groups: np.ndarray  # of cloze items
    seconds: dict[str, Spent]

    def seeds(self) -> list[int]:
        return sorted({seed for _, seed in self.models})

    def bits(self, arm: str, which: np.ndarray) -> float:
        """Return bits per byte of some held-out documents, the mean over seeds and over parts."""
        each = [self.models[arm, seed][1] for seed in self.seeds()]
        return float(np.mean([bits_per_byte(one.bits, one.sizes, self.parts, which) for one in each]))

    def right(self, arm: str, which: np.ndarray) -> float:
        return float(np.mean([self.models[arm, seed][1].right[which].mean() for seed in self.seeds()]))


def main() -> None:
    words: dict[str, dict[str, object]] = {
        "size": {"choices": list(SIZES), "default": "cpu"},
        "seeds": {"type": int, "default": 2, "metavar": "N"},
        "data": {"type": Path, "default": ROOT.parent / "shared" / "data", "metavar": "FOLDER"},
    }
    with setting("Curated against raw: " + str(protocol).splitlines()[0], with_peers=False, **words) as given:
        size = SIZES[given.given.size]
        if given.quick:
            size = replace(size, tokens=20 * size.length * size.batch)
        found = measured(given, size, 1 if given.quick else given.given.seeds)
        theme = "curation_quality" + ("" if given.given.size == "cpu" else f"_{given.given.size}")
        libraries = ["torch", "megatron-core", "trafilatura", "resiliparse", "numpy"]
        write_result(
            theme,
            f"Curated against raw: {TITLES[given.given.size]}",
            given,
            libraries,
            body(found, size),
            size.device(),
        )


def measured(given: Setting, size: Size, seeds: int) -> Found:
    """Make the arms, train every model and score it."""
    seconds: dict[str, Spent] = {}
    shop = Workshop(given.bench, given.given.data.resolve(), given.made)
    held = shop.held()
    items = list(holdout.cloze(held))
    cloze = given.made("cloze.jsonl", lambda path: path.write_text("".join(json.dumps(one) + "\n" for one in items)))
    pools = timed(given.work, "curation", seconds, lambda: shop.pools)
    names = [(arm, seed) for seed in range(1, seeds + 1) for arm in size.arms]

    def shards() -> list[Path]:
        return [shop.shards(arm, seed, size.tokens, size.vocabulary, size.length) for arm, seed in names]

    drawn = timed(given.work, "tokens", seconds, shards)
    runs = [given.work / "models" / f"{arm}-{seed}-{size.vocabulary}-{size.tokens}" for arm, seed in names]
    wanted = [(seed, source, run) for (_, seed), source, run in zip(names, drawn, runs, strict=True)]
    trained = timed(given.work, "training", seconds, lambda: train_all(size, wanted))
    scores = timed(given.work, "scoring", seconds, lambda: scored(runs, shop.held_file(), cloze, size))
    models = {name: (model, one) for name, model, one in zip(names, trained, scores, strict=True)}
    groups = np.array([PARTS.index(str(one["part"])) for one in items])
    return Found(pools, models, part_numbers(held), groups, seconds)


def scored(runs: list[Path], held: Path, cloze: Path, size: Size) -> list[Scores]:
    """Score models, each in a process of its own."""
    os.environ["OMP_NUM_THREADS"] = "1"
    device = "cpu" if size.precision == "fp32" else "cuda"
    with ProcessPoolExecutor(size.at_once, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(score, runs, [held] * len(runs), [cloze] * len(runs), [device] * len(runs)))


def timed(work: Path, name: str, spent: dict[str, Spent], do: Callable[[], T]) -> T:
    """Do a phase; note what it took, with what earlier runs over the same work folder spent on it."""
    began, cpu = time.monotonic(), cpu_seconds()
    made = do()
    file = work / f"seconds-{name}.json"
    before = json.loads(file.read_text()) if file.exists() else [0.0, 0.0]
    spent[name] = before[0] + time.monotonic() - began, before[1] + cpu_seconds() - cpu
    file.write_text(json.dumps(spent[name]))
    print(f"{name}: {spent[name][0]:.0f} s, {spent[name][1]:.0f} CPU s", flush=True)
    return made


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


def body(found: Found, size: Size) -> str:
    """Return the result's text."""
    everything, items = np.arange(len(found.parts)), np.arange(len(found.groups))
    pools = [[arm, f"{p.documents:,}", f"{p.bytes / 1e6:.1f}"] for arm, p in found.pools.items()]
    rows = []
    for arm in size.arms:
        each = [found.bits(arm, everything[found.parts == part]) for part in range(len(PARTS))]
        seeds = [one.bits(arm, everything) for one in map(found_of(found), found.seeds())]
        rows.append([
            arm, *(f"{x:.4f}" for x in each), f"**{found.bits(arm, everything):.4f}**",
            " / ".join(f"{x:.4f}" for x in seeds), f"{100 * found.right(arm, items):.1f}",
            " / ".join(f"{found.models[arm, seed][0].loss:.3f}" for seed in found.seeds()),
        ])  # fmt: skip
    compared = [
        [f"{a} against {b}", *(one.text(100, 2) for one in differences(found, a, b))]
        for a, b in COMPARED
        if {a, b} <= set(size.arms)
    ]
    seconds = ", ".join(f"{name} {wall:.0f} ({cpu:.0f})" for name, (wall, cpu) in found.seconds.items())
    return "\n\n".join([
        "What is compared " + str(protocol).partition("What is compared")[2].partition("sources.py")[0].strip(),
        f"{size.model}, vocabulary {size.vocabulary:,}; {size.tokens:,} tokens a model, rows of {size.length}, "
        f"{size.batch} a step, {size.steps:,} steps; seeds {', '.join(map(str, found.seeds()))}. Held out: "
        f"{len(found.parts)} documents, {len(found.groups):,} cloze items of 4 (chance 25 %).",
        table(["pool", "documents", "MB"], pools),
        table(["arm", *(f"bits a byte, {part}" for part in PARTS), "mean", "mean by seed", "cloze %",
               "last training loss, own text"], rows),
        table(["", "bits a byte less, % of the first", "cloze, points more"], compared)
        + "\n\nOf the second against the first; 95 % intervals of the paired bootstrap over documents and items.",
        f"Seconds (CPU seconds): {seconds}.",
    ])  # fmt: skip


def found_of(found: Found) -> Callable[[int], Found]:
    """Return what gives the measurements of one seed."""
    return lambda seed: replace(found, models={k: v for k, v in found.models.items() if k[1] == seed})


def differences(found: Found, first: str, second: str) -> tuple[Estimate, Estimate]:
    """Return by how much the second arm needs fewer bits, relative to the first, and answers more items."""
    less = estimate(lambda which: 1 - found.bits(second, which) / found.bits(first, which), found.parts)
    more = estimate(lambda which: found.right(second, which) - found.right(first, which), found.groups)
    return less, more


if __name__ == "__main__":
    main()
