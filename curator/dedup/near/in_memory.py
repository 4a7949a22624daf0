"""Near-duplicates of texts in memory: the whole of FuzzyDedup as one call, without files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.errors import SpecError
from curator.kernels import arrow, lsh, signatures, witness

if TYPE_CHECKING:
    from curator.dedup.fuzzy import FuzzyDedup


class Found(NamedTuple):
    """What goes, and why: rows int64 ascending, the kept row that shows why, and their Jaccard similarity."""

    removed: np.ndarray  # int64
    witness: np.ndarray  # int64
    similarity: np.ndarray  # float64; NaN where nothing is verified


BLOCK_BYTES = 16_000_000  # of text whose whole sketches are in memory at once


def near_duplicates(texts: pa.Array, stage: FuzzyDedup) -> Found:
    """Decide texts (strings; null counts as empty), in the order given.

    Memory: 8 bytes a band and text, and 1.3 times the text of candidates.
    """
    if stage.keep not in ("first", "longest") or not stage.verify or stage.against:
        raise SpecError(
            "FuzzyDedup.find decides with keep first or longest, verified, and against no index; run a pipeline"
        )
    offsets, data = arrow.flatten(texts)
    keys, empty = _sketched(offsets, data, stage)
    rows = np.flatnonzero(lsh.candidates(keys, empty))
    starts, flat = signatures.sets_of(offsets, data, rows, stage.shingles, stage.width)
    order = np.arange(len(rows))
    if stage.keep == "longest":
        lengths = pc.utf8_length(texts.take(pa.array(rows))).fill_null(0).to_numpy(zero_copy_only=False)
        order = np.argsort(-lengths, kind="stable")
    rule = witness.joined_components if stage.cluster == "components" else witness.witness_rule
    verdict = rule(keys[rows], order, starts, flat, stage.jaccard, stage.max_bucket)
    gone = verdict.witness >= 0
    return Found(rows[gone], rows[verdict.witness[gone]], verdict.similarity[gone])


def _sketched(offsets: np.ndarray, data: np.ndarray, stage: FuzzyDedup) -> tuple[np.ndarray, np.ndarray]:
    """Return (band keys uint64 (rows, bands), a band's side by side; which rows have no shingle)."""
    count = len(offsets) - 1
    keys, empty = np.empty((stage.bands, count), np.uint64).T, np.empty(count, np.bool_)
    cuts = np.searchsorted(offsets, np.arange(offsets[0], offsets[-1], BLOCK_BYTES)) if count else np.zeros(0, int)
    bounds = np.unique(np.concatenate((cuts, [0, count])))
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        some = offsets[start : stop + 1]
        size = stage.bands * stage.rows
        sketches, empty[start:stop] = signatures.signatures(
            some, data, stage.signature, stage.shingles, stage.width, size, stage.seed
        )
        keys[start:stop] = lsh.band_hashes(sketches, stage.bands)
    return keys, empty
