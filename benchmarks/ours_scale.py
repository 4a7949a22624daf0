"""Our side of the scale benchmark, in a process of its own whose memory is looked at.

TASK ANSWER, then of `lsh` a folder of synthetic sketches, of `fit` that and the number of workers (0: no Dask),
of `verify` the number of pairs.
"""

from __future__ import annotations

import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from benchmarks import synthetic
from benchmarks.ours_library import timed
from curator.cluster import Cluster, open_cluster
from curator.dedup.fuzzy import FuzzyDedup
from curator.kernels import components
from curator.kernels.witness import similarity_from
from curator.run.corpus import Corpus

SHINGLES = 650  # of a document, about that of a web page
DISTINCT = 2_000  # documents; a pair costs the same wherever its sets lie in memory
THRESHOLD = 0.8


def lsh_and_clusters(folder: str) -> dict[str, Any]:
    """Join documents that share a band, band by band in memory. Exits where clusters are not as planted."""
    corpus, known = synthetic.corpus(Path(folder), Cluster(None, 1)), planted(folder)
    connected(np.zeros((1, 2), np.uint64))  # compiles
    began = time.perf_counter()
    bands = (band_keys(corpus, band) for band in range(known["bands"]))
    first, cpu = timed(lambda: connected(bands))
    wall = time.perf_counter() - began
    check("components", int((first == np.arange(len(first))).sum()), known["components"])
    return {"cpu": cpu, "wall": wall}


def fit(folder: str, workers: str) -> dict[str, Any]:
    """Fit FuzzyDedup on sketch files as a run does: in components, without proof. Exits as above."""
    known, stage = planted(folder), FuzzyDedup(bands=planted(folder)["bands"], cluster="components", verify=False)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as out, open_cluster(int(workers), None, "cpu") as cluster:
        corpus = synthetic.corpus(Path(folder), cluster)
        try:
            rejecting, cpu = timed(lambda: stage.fit(corpus, out))
        finally:
            shutil.rmtree(corpus.scratch, ignore_errors=True)
        removed = sum(len(rejecting.ids(part)) for part in corpus.parts)
    check("removals", removed, known["joined"])
    return {"cpu": cpu, "wall": time.perf_counter() - began}


def planted(folder: str) -> dict[str, int]:
    known: dict[str, int] = json.loads(Path(folder, "planted.json").read_text())
    return known


def check(what: str, found: int, expected: int) -> None:
    if found != expected:
        sys.exit(f"{found:,} {what}; {expected:,} are right")


def band_keys(corpus: Corpus, band: int) -> np.ndarray:
    """Return uint64 (rows): one band's keys of all parts."""
    name = f"band_{band:02d}"
    return np.concatenate([corpus.alive.read(part, name)[name].to_numpy() for part in corpus.parts])


def connected(bands: Iterable[np.ndarray]) -> np.ndarray:
    """Return uint32 (rows): the first row that each one is connected to by an equal key."""
    parents = room = None
    for keys in bands:
        if parents is None:
            parents, room = np.arange(len(keys), dtype=np.uint32), np.empty(len(keys), np.uint64)
        components.unite(keys, np.zeros(len(keys), bool), parents, room)
    components.flatten(parents)
    return parents


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
    tasks = {"lsh": lsh_and_clusters, "fit": fit, "verify": verification}
    Path(sys.argv[2]).write_text(json.dumps(tasks[sys.argv[1]](*sys.argv[3:])))
