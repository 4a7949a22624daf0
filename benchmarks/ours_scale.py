"""Our side of the scale benchmark, in a process of its own whose memory is looked at.

TASK ANSWER, then of `lsh` a folder of synthetic sketches, of `verify` the number of pairs.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np

from benchmarks import synthetic
from benchmarks.ours_library import timed
from curator.cluster import Cluster
from curator.kernels import lsh
from curator.kernels.witness import similarity_from

SHINGLES = 650  # of a document, about that of a web page
DISTINCT = 2_000  # documents; a pair costs the same wherever its sets lie in memory
THRESHOLD = 0.8


def lsh_and_clusters(folder: str) -> dict[str, Any]:
    """Join documents that share a band, band by band, from sketch files; exits where clusters are not as planted."""
    known = json.loads(Path(folder, "planted.json").read_text())
    corpus = synthetic.corpus(Path(folder), Cluster(None, 1))
    cluster(corpus, 0)  # compiles
    began = time.perf_counter()
    parent, cpu = timed(lambda: cluster(corpus, known["bands"]))
    wall = time.perf_counter() - began
    components = int((parent == np.arange(len(parent))).sum())
    if components != known["components"]:
        sys.exit(f"{components} components; {known['components']} were planted")
    return {"cpu": cpu, "wall": wall, "components": components}


def cluster(corpus: Any, bands: int) -> np.ndarray:
    """Return uint32 (rows): the first row that each one is connected to. Bands 0: of two rows that are made up."""
    if not bands:
        return joined(np.arange(2, dtype=np.uint32), lsh.leaders(np.zeros(2, np.uint64), np.zeros(2, bool)))
    parent = None
    for band in range(bands):
        chunks = corpus.sketched(f"band_{band:02d}")[f"band_{band:02d}"].chunks
        keys = np.concatenate([chunk.to_numpy() for chunk in chunks])
        leader = lsh.leaders(keys, np.zeros(len(keys), bool))
        parent = joined(np.arange(len(keys), dtype=np.uint32) if parent is None else parent, leader)
    return parent


@numba.njit(nogil=True)
def joined(parent: np.ndarray, leader: np.ndarray) -> np.ndarray:
    """Join each row to its leader, in place, the lower one above; then let every row point at its root."""
    for row in range(leader.size):
        if leader[row] != row:
            a, b = root(parent, row), root(parent, leader[row])
            parent[max(a, b)] = min(a, b)
    for row in range(leader.size):
        parent[row] = parent[parent[row]]  # rows before this one point at their roots already
    return parent


@numba.njit(nogil=True)
def root(parent: np.ndarray, row: int) -> int:
    while parent[row] != row:
        parent[row] = row = parent[parent[row]]  # halves the path
    return row


def verification(pairs: str) -> dict[str, Any]:
    """Compare pairs of documents exactly, ours by merging sorted hashes, Python's by sets that are there already."""
    starts, flat, a, b = made_pairs(int(pairs))
    compare(starts, flat, a[:10], b[:10])
    found, cpu = timed(lambda: compare(starts, flat, a, b))
    sets = [set(flat[s:t].tolist()) for s, t in itertools.pairwise(starts)]
    left, right = a.tolist(), b.tolist()
    again, plain = timed(lambda: [with_sets(sets[i], sets[j]) for i, j in zip(left, right, strict=True)])
    if not np.array_equal(np.where(np.array(again) >= THRESHOLD, again, 0), np.where(found >= THRESHOLD, found, 0)):
        sys.exit("the two sides differ")
    return {"ours": cpu, "sets": plain, "pairs": len(a), "alike": int((found >= THRESHOLD).sum())}


def made_pairs(pairs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return shingle sets (starts, flat) of which 2i and 2i + 1 are alike, evenly between 0.5 and 1, and pairs."""
    choose = np.random.default_rng(seed)
    documents = []
    for _ in range(DISTINCT // 2):
        alike = choose.uniform(0.5, 1)
        common = round(SHINGLES * 2 * alike / (1 + alike))  # c of n and n: c / (2 n - c) alike
        hashes = choose.integers(0, 2**64, 2 * SHINGLES - common, dtype=np.uint64)
        documents += [np.sort(hashes[:SHINGLES]), np.sort(np.roll(hashes, common - SHINGLES)[:SHINGLES])]
    starts = np.arange(DISTINCT + 1) * SHINGLES
    first = 2 * choose.integers(0, DISTINCT // 2, pairs)
    return starts, np.concatenate(documents), first, first + 1


@numba.njit(nogil=True)
def compare(starts: np.ndarray, flat: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    found = np.empty(a.size)
    for i in range(a.size):
        x, y = flat[starts[a[i]] : starts[a[i] + 1]], flat[starts[b[i]] : starts[b[i] + 1]]
        found[i] = similarity_from(x, y, THRESHOLD)
    return found


def with_sets(a: set[int], b: set[int]) -> float:
    both = len(a & b)
    return both / (len(a) + len(b) - both)


if __name__ == "__main__":
    tasks = {"lsh": lsh_and_clusters, "verify": verification}
    Path(sys.argv[2]).write_text(json.dumps(tasks[sys.argv[1]](*sys.argv[3:])))
