"""What a deduplication did: which planted pairs it found, and which of its removals were right.

Similarity is the Jaccard index of the sets of 5 consecutive words (`\\w+`, lower-cased). All pairs of the
corpus at or above the threshold are found exactly, by prefix filtering (Chaudhuri, Ganti, Kaushik, ICDE
2006), not by sketches; their similarities are checked against those the truth was made with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curator.kernels import shingles
from curator.kernels.arrow import flatten
from curator.kernels.witness import similarity_from

THRESHOLD = 0.8
WIDTH = 5


@dataclass(frozen=True)
class Alike:
    """All pairs of rows at or above the threshold, and the planted ones."""

    rows: int
    a: np.ndarray  # int64 (pairs): rows, a < b
    b: np.ndarray
    jaccard: np.ndarray  # float64
    planted: np.ndarray  # int64 (planted pairs at or above the threshold, 2): rows
    worst_error: float  # largest difference between our similarity and the truth's


@dataclass(frozen=True)
class Verdict:
    """How well documents were chosen."""

    removed: int
    recall: float  # planted pairs of which not both were kept
    justified: float  # removed documents that have a kept partner at or above the threshold
    unjustified: int
    left: int  # pairs at or above the threshold both of which were kept, natural ones too

    def cells(self) -> list[str]:
        return [
            f"{self.removed:,}", f"{self.recall:.4f}", f"{100 * self.justified:.2f} %",
            f"{self.unjustified:,}", f"{self.left:,}",
        ]  # fmt: skip


HEAD = ["removed", "recall of planted pairs J >= 0.8", "removals with a kept partner J >= 0.8",
        "removals without", "pairs J >= 0.8 left"]  # fmt: skip


def judge(alike: Alike, kept: np.ndarray) -> Verdict:
    """Judge a bool array (rows)."""
    found = ~(kept[alike.planted[:, 0]] & kept[alike.planted[:, 1]])
    partner = np.zeros(alike.rows, bool)
    partner[alike.a[kept[alike.b]]] = True
    partner[alike.b[kept[alike.a]]] = True
    removed = ~kept
    wrong = int((removed & ~partner).sum())
    return Verdict(
        int(removed.sum()),
        float(found.mean()) if len(found) else 1.0,
        1 - wrong / max(int(removed.sum()), 1),
        wrong,
        int((kept[alike.a] & kept[alike.b]).sum()),
    )


def witnesses_hold(alike: Alike, removed: np.ndarray, witness: np.ndarray, kept: np.ndarray) -> bool:
    """Tell whether every removed row's witness was kept and is at or above the threshold."""
    low, high = np.minimum(removed, witness), np.maximum(removed, witness)
    known = np.isin(low << 32 | high, alike.a << 32 | alike.b)
    return bool(known.all() and kept[witness].all())


def find_alike(table: pa.Table, bench: Path) -> Alike:
    """Find all pairs of a corpus (id, text) at or above the threshold. About a minute for 250 MB."""
    sets = shingles.sets(*flatten(table["text"].combine_chunks()), WIDTH)
    a, b, jaccard = similar_pairs(*sets, THRESHOLD)
    truth = pq.read_table(bench / "truth.parquet")
    left, right = (rows_of(table, truth[name].to_numpy()) for name in ("copy_id", "source_id"))
    here = (left >= 0) & (right >= 0)
    planted = np.stack([left, right], 1)[here]
    told = truth["jaccard_word5"].to_numpy()[here]
    error = np.abs(jaccard_of(*sets, planted[:, 0], planted[:, 1]) - told).max(initial=0)
    return Alike(len(table), a, b, jaccard, planted[told >= THRESHOLD], float(error))


def rows_of(table: pa.Table, ids: np.ndarray) -> np.ndarray:
    """Return the row of each id, -1 where it is not there."""
    own = table["id"].to_numpy()
    order = np.argsort(own)
    place = np.minimum(np.searchsorted(own[order], ids), len(own) - 1)
    return np.where(own[order][place] == ids, order[place], -1)


def similar_pairs(starts: np.ndarray, flat: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (a, b, jaccard) of all pairs of sorted sets at or above the threshold, a < b.

    Two sets that similar share one of their first n - ceil(threshold n) + 1 elements in any one order of
    the elements; the order here is that of the hashes.
    """
    sizes = np.diff(starts)
    prefix = np.where(sizes > 0, sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1, 0)
    row = np.repeat(np.arange(len(sizes)), prefix)
    within = np.arange(len(row)) - np.repeat(np.cumsum(prefix) - prefix, prefix)
    hashes = flat[starts[row] + within]
    order = np.argsort(hashes, kind="stable")
    found = _joined(hashes[order], row[order], sizes, threshold)
    a, b = (found >> 32).astype(np.int64), (found & 0xFFFFFFFF).astype(np.int64)
    jaccard = jaccard_of(starts, flat, a, b)
    good = jaccard >= threshold
    return a[good], b[good], jaccard[good]


def _joined(hashes: np.ndarray, row: np.ndarray, sizes: np.ndarray, threshold: float) -> np.ndarray:
    """Return the distinct pairs of rows that share a hash and may be similar by size: a << 32 | b."""
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(hashes)) + 1, [len(hashes)]])
    many = np.flatnonzero(np.diff(bounds) > 1)
    parts = []
    for chunk in np.array_split(many, max(1, len(many) // 200_000)):
        out = np.empty(int((np.diff(bounds)[chunk] ** 2 // 2).sum()), np.int64)
        parts.append(np.unique(out[: _emit(bounds[chunk], bounds[chunk + 1], row, sizes, threshold, out)]))
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)


@numba.njit(cache=True)
def _emit(
    begins: np.ndarray, ends: np.ndarray, row: np.ndarray, sizes: np.ndarray, threshold: float, out: np.ndarray
) -> int:
    used = 0
    for group in range(begins.size):
        for i in range(begins[group], ends[group]):
            for j in range(i + 1, ends[group]):
                small, large = min(sizes[row[i]], sizes[row[j]]), max(sizes[row[i]], sizes[row[j]])
                if small >= threshold * large - 1e-9:
                    out[used] = min(row[i], row[j]) << 32 | max(row[i], row[j])
                    used += 1
    return used


@numba.njit(cache=True)
def jaccard_of(starts: np.ndarray, flat: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Jaccard similarity, float64, of the sets a[i] and b[i]."""
    found = np.empty(a.size)
    for i in range(a.size):
        x, y = flat[starts[a[i]] : starts[a[i] + 1]], flat[starts[b[i]] : starts[b[i] + 1]]
        found[i] = similarity_from(x, y, 0.0)
    return found
