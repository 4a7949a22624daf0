"""Which documents share a bucket: band by band, partitioned by key range, on disk.

    sketches of a few shelves  --deal-->  exchange (band, key range)  --link-->  links (leader, member)

A deal task holds `task_rows` (document, band) rows of 16 bytes, a link task one key range of one band, about as
many rows; both need some 70 bytes a row. Moved: 16 bytes a document and band (24 with an index), so 224 for 14.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.dedup.near.documents import ROW, Documents, Shelf
from curator.kernels import lsh
from curator.run.corpus import Corpus
from curator.run.exchange import Exchange, range_of
from curator.schema import arrow_schema
from millrace import storage, tables

MOST = 3000
LINK = arrow_schema({"leader": "uint64", "member": "uint64"})


class Census(NamedTuple):
    """What is known of each shelf after its sketches were read; int64 (shelves)."""

    rows: np.ndarray  # documents
    span: np.ndarray  # highest row + 1
    characters: np.ndarray


@dataclass(frozen=True)
class Links:
    """Files of (leader, member) nodes, a row for each document that is in a bucket and does not lead it."""

    folder: str
    names: tuple[str, ...]
    census: Census
    over_cap: np.ndarray  # uint64: keys of buckets that hold more old documents than are compared

    def read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the leaders and members of one file, uint64."""
        table = tables.read_table(storage.join(self.folder, name))
        return table["leader"].to_numpy(), table["member"].to_numpy()


def find_links(corpus: Corpus, documents: Documents, bands: list[str], cap: int, within: bool, task_rows: int) -> Links:
    """Find the buckets that hold a document of this run and another one (an old one, unless `within`).

    Of the old documents of a bucket, the first `cap` in keep order are linked: no others are ever compared.
    """
    rows = sum(shelf.rows for shelf in documents.shelves)
    # files x ranges are read one by one: beyond some 3,000 of each, tasks grow instead
    task_rows = max(task_rows, -(-rows * len(bands) // MOST))
    each = max(1, -(-rows // task_rows))  # key ranges of a band
    dealt = Exchange(storage.join(corpus.scratch, "bands"), len(bands) * each)
    groups = documents.groups(max(1, task_rows // len(bands)))
    counted = corpus.map("dealing bands", _deal, [_Deal(documents, g, tuple(bands), dealt) for g in groups])
    folder = storage.join(corpus.scratch, "links")
    together = max(1, task_rows // max(1, -(-rows // each)))  # ranges that a task links one after the other
    spans = [range(first, min(first + together, dealt.ranges)) for first in range(0, dealt.ranges, together)]
    tasks = [_Link(documents, dealt, span, cap, within, folder) for span in spans]
    found = corpus.map("linking buckets", _link, tasks)
    storage.remove(dealt.folder)
    over = np.concatenate([np.zeros(0, np.uint64), *(keys for _, keys in found)])
    census = Census(*np.array([c for some in counted for c in some] or np.zeros((0, 3)), np.int64).reshape(-1, 3).T)
    return Links(folder, tuple(name for names, _ in found for name in names), census, over)


@dataclass(frozen=True)
class _Deal:
    documents: Documents
    shelves: tuple[Shelf, ...]
    bands: tuple[str, ...]
    dealt: Exchange


def _schema(documents: Documents) -> pa.Schema:
    old = {"priority": "float64"} if documents.indexes else {}
    return arrow_schema({"doc_id": "uint64", "key": "uint64", **old})


def _deal(task: _Deal) -> list[tuple[int, int, int]]:
    """Deal the band keys of some shelves; return (documents, highest row + 1, characters) of each."""
    each = task.dealt.ranges // len(task.bands)
    census, dealt, ranges = [], [], []
    for shelf in task.shelves:
        old = shelf.batch < len(task.documents.indexes)
        more = ["priority"] if old else []
        table = task.documents.read(shelf, *task.bands, "characters", *more)
        nodes = table["doc_id"].to_numpy()
        top = int((nodes & ROW).max(initial=0)) + 1 if len(nodes) else 0
        census.append((len(nodes), top, int(pc.sum(table["characters"]).as_py() or 0)))
        table = table.filter(pc.is_valid(table[task.bands[0]]))  # no words: nobody's near-duplicate
        for number, band in enumerate(task.bands):
            columns = {"doc_id": table["doc_id"], "key": table[band]}
            if task.documents.indexes:
                columns["priority"] = table["priority"] if old else pa.chunked_array([np.zeros(len(table))])
            dealt.append(pa.table(columns, schema=_schema(task.documents)))
            ranges.append(number * each + range_of(table[band].to_numpy(), each))
    name = f"{task.shelves[0].number:010d}"
    task.dealt.write(name, pa.concat_tables(dealt), np.concatenate(ranges))
    return census


@dataclass(frozen=True)
class _Link:
    documents: Documents
    dealt: Exchange
    ranges: range
    cap: int
    within: bool
    folder: str


def _link(task: _Link) -> tuple[list[str], np.ndarray]:
    """Write the links of some key ranges, a file each; return the names, and keys of buckets over the cap."""
    names, over = [], [np.zeros(0, np.uint64)]
    for number in task.ranges:
        table = task.dealt.read(number, _schema(task.documents))
        nodes = table["doc_id"].to_numpy()
        rows, crowded = _worth_comparing(table, task)
        over.append(crowded)
        leader = _leaders_among(table["key"].to_numpy(), rows)
        follows = leader != rows
        if follows.any():
            names.append(f"{number:010d}.arrow")
            links = pa.table([nodes[leader[follows]], nodes[rows[follows]]], schema=LINK)
            tables.write_table(storage.join(task.folder, names[-1]), links, durable=False)
    return names, np.concatenate(over)


def _worth_comparing(table: pa.Table, task: _Link) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows, int64 ascending, of buckets that can remove a document of this run, without old ones
    beyond the cap; and the keys, uint64, of buckets that have such."""
    keys, nodes = table["key"].to_numpy(), table["doc_id"].to_numpy()
    if not task.documents.indexes:
        return np.arange(len(keys) if task.within else 0), np.zeros(0, np.uint64)
    leader = lsh.leaders(keys, np.zeros(len(keys), np.bool_)).astype(np.int64)
    own = task.documents.is_own(nodes)
    new, old = (np.bincount(leader[mask], minlength=len(keys)) for mask in (own, ~own))
    good = (new > 0) & ((old > 0) | task.within)
    crowded = np.flatnonzero((old > task.cap)[leader] & good[leader] & ~own)
    batches = task.documents.batches(nodes[crowded])
    order = np.lexsort((nodes[crowded], table["priority"].to_numpy()[crowded], batches, leader[crowded]))
    ordered = leader[crowded][order]
    place = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    mask = good[leader]
    mask[crowded[order[place >= task.cap]]] = False
    return np.flatnonzero(mask), np.unique(keys[crowded])


def _leaders_among(keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return for each of `rows` the first of them with the same key."""
    if len(rows) == len(keys):
        return lsh.leaders(keys, np.zeros(len(keys), np.bool_)).astype(np.int64)
    chosen = np.ascontiguousarray(keys[rows])
    leaders: np.ndarray = rows[lsh.leaders(chosen, np.zeros(len(rows), np.bool_))]
    return leaders
