"""Which documents hang together through buckets: each component can be decided apart from the others.

While one number a document fits the main process (Limits.main_documents), union-find over the links, a file at a
time: 9 bytes a document. Beyond that, `curator.dedup.near.stars` gives the same components on disk.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from curator.dedup.near.candidates import CANDIDATE, Candidates
from curator.dedup.near.documents import ROW, SHIFT, Documents
from curator.dedup.near.limits import Limits
from curator.dedup.near.links import Census, Links
from curator.dedup.near.stars import Groups, find_by_stars
from curator.kernels import components as kernel
from curator.run.corpus import Corpus
from curator.run.exchange import Exchange
from millrace import storage


def find_components(
    corpus: Corpus, documents: Documents, links: Links, group_rows: int, large: int, limits: Limits
) -> Candidates:
    """Find the components of the links; name those of more than `large` documents."""
    groups = tuple(documents.groups(group_rows))
    dealt = Exchange(storage.join(corpus.scratch, "candidates"), max(1, len(groups)))
    find = find_by_stars if int(links.census.span.sum()) > limits.main_documents else find_in_memory
    count, sizes = find(corpus, links, dealt, groups, large, limits.task_rows)
    return Candidates(dealt, groups, count, sizes)


def find_in_memory(
    corpus: Corpus, links: Links, candidates: Exchange, groups: Groups, large: int, task_rows: int
) -> tuple[int, dict[int, int]]:
    """Do as `find_by_stars`, by union-find: 9 bytes a document, and one file of links or group at a time."""
    base = np.concatenate(([0], np.cumsum(links.census.span)))
    parents, linked = np.arange(base[-1], dtype=np.uint32), np.zeros(base[-1], bool)
    for name in links.names:
        ends = [dense(nodes, base) for nodes in links.read(name)]
        for rows in ends:
            linked[rows] = True
        kernel.unite_pairs(ends[0], ends[1], parents)
    kernel.flatten(parents)
    sizes = np.zeros(base[-1], np.uint32)
    for number, group in enumerate(groups):
        start, stop = base[group[0].number], base[group[-1].number + 1]
        rows = start + np.flatnonzero(linked[start:stop])
        labels = parents[rows]
        heads, counts = np.unique(labels, return_counts=True)
        sizes[heads] += counts.astype(np.uint32)
        table = pa.table([sparse(rows, base), sparse(labels.astype(np.int64), base)], schema=CANDIDATE)
        candidates.write(f"{number:010d}", table, np.full(len(rows), number))
    big = np.flatnonzero(sizes > large)
    return int(sizes.sum(dtype=np.int64)), dict(zip(sparse(big, base).tolist(), sizes[big].tolist(), strict=True))


def dense(nodes: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return the place of nodes when shelves of base[i + 1] - base[i] rows stand one after the other, int64."""
    rows: np.ndarray = base[(nodes >> SHIFT).astype(np.int64)] + (nodes & ROW).astype(np.int64)
    return rows


def sparse(rows: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return the nodes, uint64, of places; the inverse of `dense`."""
    shelf = np.searchsorted(base, rows, side="right") - 1
    nodes: np.ndarray = shelf.astype(np.uint64) << SHIFT | (rows - base[shelf]).astype(np.uint64)
    return nodes


def mean_characters(census: Census) -> float:
    """Return the characters of a document, on average."""
    return float(census.characters.sum()) / max(int(census.rows.sum()), 1)
