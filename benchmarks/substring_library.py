"""Repeated substrings of at least 200 bytes: ours, and a suffix array with LCP (libdivsufsort), on the same text."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import inputs
from benchmarks.measure import Cost, run
from benchmarks.report import Setting, ratio, setting, spread, table, write_result

LENGTH = 200  # bytes, about 50 tokens (Lee et al., ACL 2022)


@dataclass(frozen=True)
class Agreement:
    """How the bytes that one side covers lie to those of the suffix array."""

    covered: float  # share of all bytes
    reached: float  # share of the suffix array's bytes that are covered here too
    beyond: int  # bytes covered here only

    def cells(self) -> list[str]:
        return [f"{100 * self.covered:.3f} %", f"{100 * self.reached:.3f} %", f"{self.beyond:,}"]


def agreement(mask: np.ndarray, exact: np.ndarray) -> Agreement:
    """Compare two bool arrays (bytes). Exits where they are not of one text."""
    if len(mask) != len(exact):
        sys.exit(f"one side covers a text of {len(mask):,} bytes, the other one of {len(exact):,}")
    reached = float(mask[exact].mean()) if exact.any() else 1.0
    return Agreement(float(mask.mean()) if len(mask) else 0.0, reached, int((mask & ~exact).sum()))


def call(given: Setting, side: str, source: Path) -> tuple[Cost, np.ndarray]:
    """Run one side once in a process of its own; return its cost and the bytes it covers."""
    program: list[str | Path] = (
        [sys.executable, "-m", "benchmarks.ours_substring"]
        if side == "ours"
        else [given.peers, Path(__file__).with_name("peer_substring.py")]
    )
    answer, mask = given.work / "answer.json", given.work / f"{side}.npy"
    cost = run([*program, source, answer, mask, str(LENGTH)], given.log(side), answer)
    return cost, np.load(mask)


def main() -> None:
    """Measure, judge, and write the result."""
    with setting(__doc__ or "") as given:
        corpus = given.input("corpus.parquet")
        small = given.made("slice.parquet", lambda out: inputs.cut_slice(corpus, given.bench, out))
        runs: dict[str, list[tuple[Cost, np.ndarray]]] = {"ours": [], "suffix array": []}
        for _ in range(given.rounds):
            for side, found in runs.items():
                found.append(call(given, side, small))
        text = inputs.corpus(small)
        megabytes, exact = inputs.text_mb(text), runs["suffix array"][0][1]
        own, rows = [cost.answer["cpu"] for cost, _ in runs["ours"]], []
        for side, found in runs.items():
            cpu = [cost.answer["cpu"] for cost, _ in found]
            speed = f"{megabytes / sorted(cpu)[len(cpu) // 2]:.1f}"
            times = "" if side == "ours" else ratio(cpu, own)
            peak = f"{max(cost.main_mb for cost, _ in found):,.0f}"
            verdict = agreement(found[0][1], exact).cells()
            rows.append([side, str(len(cpu)), spread(cpu), speed, times, peak, *verdict])
        steps = runs["suffix array"][0][0].answer["steps"]
        head = ["tool", "runs", "CPU s", "MB/CPU s", "times ours", "peak MB", "bytes covered",
                "of the suffix array's bytes", "bytes beyond"]  # fmt: skip
        body = [
            f"Seeded slice: {len(text):,} documents, {megabytes:.1f} MB. Decoded text in, a mask of bytes out: those "
            f"in a substring of at least {LENGTH} bytes that stands twice, each time within one document. One thread, "
            "a fresh process a round, warmed up, sides in turn. Suffix array: `pydivsufsort.divsufsort` of the "
            "documents joined with a byte that UTF-8 lacks (not timed), `pydivsufsort.kasai`, then coverage in numpy; "
            f"its first run: {', '.join(f'{name} {seconds:.2f} s' for name, seconds in steps.items())}.\n",
            table(head, rows),
            "\nTargets: 10 times; at least 99.9 % of its coverage, and nothing beyond.",
        ]
        write_result("substring_library", "Repeated substrings, library call", given, ["numba", "numpy", "pyarrow"],
                     "\n".join(body))  # fmt: skip


if __name__ == "__main__":
    main()
