"""Repeated substrings by suffix array; runs in the peers' interpreter and imports nothing of ours.

INPUT ANSWER MASK LENGTH: a Parquet file of text, where the seconds go, and where the covered bytes go. A byte is
covered if it lies in a substring of at least LENGTH bytes that stands twice, each time within one document.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

SEPARATOR = 0xFF  # after each document; UTF-8 has no such byte


def covered(data: np.ndarray, length: int) -> tuple[np.ndarray, dict[str, float]]:
    """Return bool (bytes) of documents that end in a separator, and the CPU seconds of the steps."""
    from pydivsufsort import divsufsort, kasai

    times = [time.process_time()]
    places = divsufsort(data)
    times.append(time.process_time())
    common = kasai(data, places)  # of each suffix and the next one in order
    times.append(time.process_time())
    mask = spread(places, common, data == SEPARATOR, length)
    times.append(time.process_time())
    steps = dict(zip(("suffix array", "LCP", "coverage"), np.diff(times).tolist()))
    return mask, steps


def spread(places: np.ndarray, common: np.ndarray, ends: np.ndarray, length: int) -> np.ndarray:
    """Return which bytes the common prefixes of neighbours cover, as far as their documents reach.

    A common prefix that holds a separator holds it at one place in both: cut there, what remains is common.
    """
    long = np.flatnonzero(common >= length)
    reach = np.flatnonzero(ends)
    reach = np.repeat(reach.astype(np.int32), np.diff(reach, prepend=-1))  # of each byte: its document's separator
    change = np.zeros(len(ends) + 1, np.int64)
    for start in (places[long], places[long + 1]):
        size = np.minimum(common[long], reach[start] - start)
        start, size = start[size >= length], size[size >= length]
        change += np.bincount(start, minlength=len(change))
        change -= np.bincount(start + size, minlength=len(change))
    return np.cumsum(change[:-1]) > 0


def joined(texts: list[str]) -> np.ndarray:
    """Return the documents' UTF-8 bytes, a separator after each."""
    return np.frombuffer(bytearray(b"".join(text.encode() + bytes([SEPARATOR]) for text in texts)), np.uint8)


def main(source: str, answer: str, where: str, length: str) -> None:
    """Do it once, and write what came of it."""
    data = joined(pq.read_table(source, columns=["text"])["text"].to_pylist())
    covered(joined(["warm " * 100]), int(length))
    began = time.perf_counter()
    mask, steps = covered(data, int(length))
    wall = time.perf_counter() - began
    np.save(where, mask[data != SEPARATOR])
    Path(answer).write_text(json.dumps({"cpu": sum(steps.values()), "wall": wall, "steps": steps}))


if __name__ == "__main__":
    main(*sys.argv[1:])
