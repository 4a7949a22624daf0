"""Sketches of documents that do not exist, in the files of a run, with planted near-duplicates.

A key is a hash of (seed, document, band), so that a copy's keys need no memory of its source's: any number of
documents is made in that of one batch. The last 30 % of the documents are copies: each of one document before
them, with a similarity between 0.5 and 1, and each of its bands is its source's with probability
similarity ** ROWS.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from curator.cluster import Cluster
from curator.run.corpus import Corpus, Sketches
from curator.run.folder import RunFolder, part_name
from curator.schema import arrow_schema
from millrace import tables
from millrace.progress import Progress

COPIES = 0.3  # of the documents
LEAST_ALIKE = 0.5
ROWS = 13  # of a band: 20 x 13 is half sure at 0.77
PART = 1 << 20  # documents a file
BATCH = 1 << 16
LONGEST = 20_000  # characters
PLACE = "sketches"  # below the folder; beside it planted.json


def make(folder: Path, documents: int, bands: int, seed: int = 0) -> Path:
    """Write the sketch files of a corpus, and into planted.json what is known of it."""
    schema, joined = arrow_schema({"doc_id": "uint64", **columns(bands)}), 0
    for part, first in enumerate(range(0, documents, PART)):
        with tables.writing_table(str(folder / PLACE / f"{part_name(part)}.arrow"), schema) as writer:
            for start in range(first, min(first + PART, documents), BATCH):
                rows = np.arange(start, min(start + BATCH, first + PART, documents), dtype=np.uint64)
                keys, more = batch_keys(rows, documents, bands, seed)
                ids = np.uint64(part << 32) | (rows - np.uint64(first))
                characters = np.random.default_rng([seed, 1, start]).integers(1, LONGEST, len(rows))
                writer.write(pa.table([ids, *keys, characters], schema=schema))
                joined += more
    known = {"documents": documents, "bands": bands, "joined": joined, "components": documents - joined}
    (folder / "planted.json").write_text(json.dumps(known))
    return folder


def batch_keys(rows: np.ndarray, documents: int, bands: int, seed: int) -> tuple[list[np.ndarray], int]:
    """Return uint64 keys, an array a band, and how many of the rows share a band with their source."""
    originals = documents - int(COPIES * documents)
    choose = np.random.default_rng([seed, 0, int(rows[0])])
    copy = (rows >= originals) & (originals > 0)
    source = choose.integers(0, max(originals, 1), len(rows)).astype(np.uint64)
    chance = choose.uniform(LEAST_ALIKE, 1, len(rows)) ** ROWS
    shared, keys = np.zeros(len(rows), bool), []
    for band in range(bands):
        same = copy & (choose.random(len(rows)) < chance)
        shared |= same
        keys.append(mixed(np.where(same, source, rows) * np.uint64(bands) + np.uint64(band), seed))
    return keys, int(shared.sum())


def mixed(x: np.ndarray, seed: int) -> np.ndarray:
    """Return SplitMix64's output for these places of its sequence (Steele, Lea, Flood, OOPSLA 2014)."""
    x = (x + np.uint64(seed << 40) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def columns(bands: int) -> dict[str, str]:
    """Return what FuzzyDedup's sketches hold beside doc_id."""
    return {**{f"band_{band:02d}": "uint64" for band in range(bands)}, "characters": "int64"}


def corpus(folder: Path, cluster: Cluster) -> Corpus:
    """Return what a corpus stage is given to fit on: sketches that can be read, and no text behind them."""
    known = json.loads((folder / "planted.json").read_text())
    starts = range(0, known["documents"], PART)
    rows = tuple(min(PART, known["documents"] - start) for start in starts)
    sketches = Sketches(RunFolder(str(folder)), PLACE, columns(known["bands"]), "none")
    parts, sources = tuple(range(len(rows))), ("synthetic",) * len(rows)
    return Corpus(parts, rows, sources, sketches, str(folder / "scratch"), cluster, "cpu", Progress(quiet=True))
