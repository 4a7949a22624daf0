"""What a deduplication did by how alike documents are: shares of pairs found, removals by their best kept partner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.quality import rows_of

EDGES = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])  # a bin holds its lower edge
LABELS = ("below 0.5", "0.5 to 0.6", "0.6 to 0.7", "0.7 to 0.8", "0.8 to 0.9", "0.9 to 1", "1")
THRESHOLD = 0.8


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows with their exact Jaccard similarity."""

    a: np.ndarray  # int64 (pairs)
    b: np.ndarray
    jaccard: np.ndarray  # float64
    kind: np.ndarray  # str: how the copy was edited, "" for natural pairs

    def among(self, mask: np.ndarray) -> Pairs:
        return Pairs(self.a[mask], self.b[mask], self.jaccard[mask], self.kind[mask])


def read_pairs(table: pa.Table, path: Path, left: str, right: str) -> Pairs:
    """Read known pairs by their documents' ids; those of which the corpus lacks a document are left out."""
    known = pq.read_table(path)
    a, b = (rows_of(table, known[name].to_numpy()) for name in (left, right))
    kind = np.array(known["edit_kind"].to_pylist() if "edit_kind" in known.schema.names else [""] * len(known))
    return Pairs(a, b, known["jaccard_word5"].to_numpy(), kind).among((a >= 0) & (b >= 0))


def bin_of(jaccard: np.ndarray) -> np.ndarray:
    """Return the place in LABELS of each similarity."""
    return np.searchsorted(EDGES, jaccard, side="right")


def found(pairs: Pairs, kept: np.ndarray) -> np.ndarray:
    """Return bool (pairs): not both documents were kept."""
    return ~(kept[pairs.a] & kept[pairs.b])


def shares(pairs: Pairs, kept: np.ndarray) -> list[str]:
    """Return, for each bin, the share of its pairs of which not both documents were kept."""
    where, yes = bin_of(pairs.jaccard), found(pairs, kept)
    return [share(yes[where == place]) for place in range(len(LABELS))]


def share(yes: np.ndarray) -> str:
    """Return the mean of a bool array to four digits, nothing where it is empty."""
    return f"{yes.mean():.4f}" if len(yes) else ""


def counts(pairs: Pairs) -> list[str]:
    """Return the number of pairs in each bin."""
    return [f"{n:,}" for n in np.bincount(bin_of(pairs.jaccard), minlength=len(LABELS))]


def best_partner(pairs: Pairs, kept: np.ndarray) -> np.ndarray:
    """Return float64 (rows): the greatest similarity of a row to a kept other one, 0 where no pair tells."""
    best = np.zeros(len(kept))
    for own, other in ((pairs.a, pairs.b), (pairs.b, pairs.a)):
        np.maximum.at(best, own, np.where(kept[other], pairs.jaccard, 0.0))
    return best


def removals(pairs: Pairs, kept: np.ndarray) -> list[int]:
    """Return, for each bin, the removed documents whose best kept partner lies there.

    `pairs` are all pairs of the corpus from the lowest edge up, so the first bin holds those without one.
    """
    best = best_partner(pairs, kept)[~kept]
    return [int(n) for n in np.bincount(bin_of(best), minlength=len(LABELS))]


def clusters(pairs: Pairs, rows: int) -> np.ndarray:
    """Return int64 (rows): the lowest row each one is connected to by pairs."""
    label = np.arange(rows)
    while True:
        before = label.copy()
        for own, other in ((pairs.a, pairs.b), (pairs.b, pairs.a)):
            np.minimum.at(label, own, label[other])
        label = label[label]
        if (label == before).all():
            return label


def clusters_lost(pairs: Pairs, kept: np.ndarray) -> tuple[int, int]:
    """Return (clusters of pairs at or above the threshold of which nothing was kept, all such clusters)."""
    alike = pairs.among(pairs.jaccard >= THRESHOLD)
    label = clusters(alike, len(kept))
    all_of_them = np.unique(label[alike.a])
    survived = np.unique(label[kept])
    return int((~np.isin(all_of_them, survived)).sum()), len(all_of_them)
