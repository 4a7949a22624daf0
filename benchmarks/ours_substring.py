"""Our side of the substring benchmark: which bytes lie in a repeated substring; only the call is timed.

INPUT ANSWER MASK LENGTH, as of peer_substring.py.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks import inputs
from benchmarks.ours_library import timed
from curator.kernels import substrings
from curator.kernels.arrow import flatten


def ours(text: pa.LargeStringArray, length: int) -> np.ndarray:
    """Return bool (bytes of all documents): in a substring of at least `length` bytes that stands twice."""
    offsets, data = flatten(text)
    runs = substrings.winnow(offsets, data, length)
    starts = offsets[runs.documents] + runs.starts
    matched = substrings.match_runs(runs.prints, runs.hashes)
    whole = matched.members > 1
    among = matched.opened
    hashes = substrings.hash_windows(data, starts[among], runs.windows[among], length)
    _, members = substrings.match(hashes, np.repeat(runs.prints[among], runs.windows[among]))
    within = np.arange(len(hashes)) - np.repeat(
        np.cumsum(runs.windows[among]) - runs.windows[among], runs.windows[among]
    )
    windows = (np.repeat(starts[among], runs.windows[among]) + within)[members > 1]
    change = np.zeros(len(data) + 1, np.int64)
    for begins, ends in (
        (starts[whole], starts[whole] + runs.windows[whole] - 1 + length), (windows, windows + length)
    ):  # fmt: skip
        change += np.bincount(begins, minlength=len(change))
        change -= np.bincount(ends, minlength=len(change))
    return np.cumsum(change[:-1]) > 0


def main(source: str, answer: str, where: str, length: str) -> None:
    """Do it once, and write what came of it."""
    text = inputs.corpus(Path(source))["text"].combine_chunks()
    ours(pa.array(["warm " * 100, "warm " * 100], pa.large_string()), int(length))
    began = time.perf_counter()
    mask, cpu = timed(lambda: ours(text, int(length)))
    wall = time.perf_counter() - began
    np.save(where, mask)
    Path(answer).write_text(json.dumps({"cpu": cpu, "wall": wall}))


if __name__ == "__main__":
    main(*sys.argv[1:])
