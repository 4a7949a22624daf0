"""Near-duplicates of texts in memory: the whole of FuzzyDedup as one call, without files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.errors import SpecError
from curator.kernels import arrow, components, lsh, signatures, witness

if TYPE_CHECKING:
    from curator.dedup.fuzzy import FuzzyDedup


class Found(NamedTuple):
    """What goes, and why: rows int64 ascending, the kept row that shows why, and their Jaccard similarity."""

    removed: np.ndarray  # int64
    witness: np.ndarray  # int64
    similarity: np.ndarray  # float64; NaN where nothing is verified
    over_cap: int  # buckets that hold more kept rows than later ones were compared with


BLOCK_BYTES = 16_000_000  # of text whose whole sketches are in memory at once


def near_duplicates(texts: pa.Array | pa.ChunkedArray, stage: FuzzyDedup) -> Found:
    """Decide texts (strings; null counts as empty), in the order given.

    Memory: 8 bytes a band and text, and 1.3 times the text of candidates.
    """
    if stage.keep not in ("first", "longest") or not stage.within or stage.against:
        raise SpecError("FuzzyDedup.find knows keep first and longest, and no index; run a pipeline for the others")
    if isinstance(texts, pa.ChunkedArray):
        texts = pa.concat_arrays(texts.cast(pa.large_string()).chunks or [pa.array([], pa.large_string())])
    offsets, data = arrow.flatten(texts)
    keys, empty = _sketched(offsets, data, stage)
    order = np.arange(len(texts))
    if stage.keep == "longest":
        lengths = pc.utf8_length(texts).fill_null(0).to_numpy(zero_copy_only=False)
        order = np.argsort(-lengths, kind="stable")
    if not stage.verify:
        return _unverified(keys, empty, order)
    rows = np.flatnonzero(lsh.candidates(keys, empty))
    starts, flat = signatures.sets_of(offsets, data, rows, stage.shingles, stage.width)
    place = np.full(len(texts), -1)
    place[rows] = np.arange(len(rows))
    among = place[order][place[order] >= 0]
    rule = witness.joined_components if stage.cluster == "components" else witness.witness_rule
    verdict = rule(keys[rows], among, starts, flat, stage.jaccard, stage.max_bucket)
    gone = verdict.witness >= 0
    return Found(rows[gone], rows[verdict.witness[gone]], verdict.similarity[gone], len(verdict.over_cap))


def _unverified(keys: np.ndarray, empty: np.ndarray, order: np.ndarray) -> Found:
    """Keep the first, in keep order, of each component of rows that share a band."""
    parents, room = np.arange(len(keys), dtype=np.uint32), np.empty(len(keys), np.uint64)
    for band in range(keys.shape[1]):
        components.unite(np.ascontiguousarray(keys[:, band]), empty, parents, room)
    components.flatten(parents)
    first = np.full(len(keys), -1)
    first[parents[order[::-1]]] = order[::-1]  # the last written, so the first in order, holds
    kept = first[parents]
    gone = np.flatnonzero(kept != np.arange(len(keys)))
    return Found(gone, kept[gone], np.full(len(gone), np.nan), 0)


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
