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
    documents, starts, stops = substrings.repeated(offsets, data, length)
    change = np.zeros(offsets[-1] - offsets[0] + 1, np.int8)
    begins = offsets[documents] - offsets[0]  # spans of a document are apart, so no byte begins or ends two
    change[begins + starts] += 1
    change[begins + stops] -= 1
    return np.cumsum(change[:-1], dtype=np.int8).view(np.bool_)


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
