"""Where the library call's time goes: each step of FuzzyDedup on texts in memory, and reading them, one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import inputs
from benchmarks.report import setting, spread, table, write_result
from curator.dedup.fuzzy import FuzzyDedup
from curator.kernels import arrow, lsh, signatures, witness

WARM_UP = 50  # documents


class Clock:
    """Adds up CPU seconds of this process by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def __call__(self, step: str, call: Callable[[], Any]) -> Any:
        began = time.process_time()
        result = call()
        self.seconds.setdefault(step, []).append(time.process_time() - began)
        return result


def steps(text: pa.LargeStringArray, clock: Clock) -> dict[str, int]:
    """Do what `FuzzyDedup().find` does, step by step; return the documents, candidates and removals."""
    s = FuzzyDedup()
    offsets, data = arrow.flatten(text)
    size = s.bands * s.rows
    sketched = (offsets, data, s.signature, s.shingles, s.width, size, s.seed)
    sketches, empty = clock("sketches", lambda: signatures.signatures(*sketched))
    keys = clock("band keys", lambda: np.asfortranarray(lsh.band_hashes(sketches, s.bands)))
    rows = clock("candidates", lambda: np.flatnonzero(lsh.candidates(keys, empty)))
    sets = clock("shingle sets of candidates", lambda: signatures.sets_of(offsets, data, rows, s.shingles, s.width))
    order = np.arange(len(rows))
    rule = clock(
        "buckets and witness rule",
        lambda: witness.witness_rule(keys[rows], order, *sets, s.jaccard, s.max_bucket),
    )
    return {"documents": len(text), "candidates": len(rows), "removed": int((rule.witness >= 0).sum())}


def main() -> None:
    """Measure and write the result."""
    with setting(__doc__ or "", with_peers=False) as given:
        corpus = given.input("corpus.parquet")
        clock = Clock()
        text = inputs.corpus(corpus)["text"].combine_chunks()
        megabytes = float(text.nbytes) / 1e6
        steps(pa.concat_arrays([text.slice(0, WARM_UP)] * 2), Clock())
        for _ in range(given.rounds):
            clock("reading Parquet, beside the call", lambda: inputs.corpus(corpus))
            counts = steps(text, clock)
        rows = [
            [step, str(len(cpu)), spread(cpu, 3), f"{megabytes / sorted(cpu)[len(cpu) // 2]:,.0f}"]
            for step, cpu in clock.seconds.items()
        ]
        call = [sum(each) for each in zip(*list(clock.seconds.values())[1:])]
        rows.append(["the call", str(len(call)), spread(call, 3), f"{megabytes / sorted(call)[len(call) // 2]:,.0f}"])
        said = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        body = [f"{megabytes:.1f} MB of text: {said}. 14 bands of 8 rows on 5-word shingles, one warm process.\n"]
        head = ["step", "runs", "CPU s", "MB of the corpus a CPU s"]
        write_result("dedup_profile", "Near-duplicates, step by step", given, ["numba", "numpy", "pyarrow"],
                     "\n".join([*body, table(head, rows)]))  # fmt: skip


if __name__ == "__main__":
    main()
