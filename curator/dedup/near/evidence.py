"""Bring what decides a document to the task that decides it: band keys, priority and shingle set.

Own documents are reread part by part, those of an index come from its stored fingerprints (or its run's text).
Nothing but hashes moves: 8 bytes a band and a shingle, about 1.4 bytes for each of a candidate's text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curator import frames, kernels
from curator.dedup.near.candidates import Candidates, job_of
from curator.dedup.near.documents import Documents, Shelf
from curator.dedup.policy import Policy
from curator.run.corpus import Reread, reread
from curator.run.exchange import Exchange
from curator.schema import arrow_schema
from curator.stage import Frame


@dataclass(frozen=True)
class Shingling:
    """What a shingle is."""

    kind: str  # words or characters
    width: int

    def sets(self, frame: Frame) -> pa.Array:
        """Return the sorted distinct shingle hashes of each text: a large list of uint64."""
        return frames.column_to_arrow(kernels.shingle_sets(frame["text"], self.kind, self.width)["shingles"])


@dataclass(frozen=True)
class Source:
    """How evidence is had. Goes to any task."""

    documents: Documents
    bands: tuple[str, ...]
    shingling: Shingling | None  # None: nothing is verified
    policy: Policy
    device: str

    @property
    def schema(self) -> pa.Schema:
        """Columns of a document's evidence."""
        sets = {"shingles": "list<uint64>"} if self.shingling else {}
        keys = dict.fromkeys(self.bands, "uint64") if self.shingling else {}
        return arrow_schema({"doc_id": "uint64", "component": "uint64", "priority": "float64"} | keys | sets)

    def priorities(self, shelf: Shelf, nodes: np.ndarray) -> np.ndarray:
        """Return the priority, float64, of some of a shelf's nodes, ascending: the smaller goes first."""
        if shelf.batch < len(self.documents.indexes):
            table = self.documents.read(shelf, "priority")
            old: np.ndarray = table["priority"].to_numpy()[np.searchsorted(table["doc_id"].to_numpy(), nodes)]
            return old
        alive, ids = self.documents.alive, self.documents.doc_ids(nodes)
        table = alive.read(shelf.part, *self.policy.sketches)
        rows = pa.array(np.searchsorted(table["doc_id"].to_numpy(), ids))
        return self.policy.priorities(alive, shelf.part, shelf.source, table.take(rows))

    def collect(self, shelf: Shelf, nodes: np.ndarray, components: np.ndarray) -> pa.Table:
        """Return the evidence of some of a shelf's nodes, ascending."""
        columns = {"doc_id": pa.array(nodes), "component": pa.array(components),
                   "priority": pa.array(self.priorities(shelf, nodes))}  # fmt: skip
        if self.shingling:
            sketches = self.documents.read(shelf, *self.bands)
            rows = pa.array(np.searchsorted(sketches["doc_id"].to_numpy(), nodes))
            columns |= {band: sketches[band].take(rows).combine_chunks() for band in self.bands}
            columns["shingles"] = self._sets(shelf, self.documents.doc_ids(nodes))
        return pa.table(columns, schema=self.schema)

    def _sets(self, shelf: Shelf, ids: np.ndarray) -> pa.Array:
        assert self.shingling is not None
        old = shelf.batch < len(self.documents.indexes)
        if old and self.documents.indexes[shelf.batch].has_fingerprints:
            return self.documents.indexes[shelf.batch].shingles(shelf.part, ids)
        url = (self.documents.indexes[shelf.batch] if old else self.documents.alive).document_file(shelf.part)
        return reread(Reread(url, ids, ("text",), self.device, self.shingling.sets))


@dataclass(frozen=True)
class Gather:
    """A task: collect the evidence of one group of shelves and deal it to jobs."""

    source: Source
    candidates: Candidates
    group: int
    jobs: Jobs
    dealt: Exchange


@dataclass(frozen=True)
class Jobs:
    """Which job decides a document: by its component; documents of large components by their slice."""

    count: int  # jobs of whole components
    nodes: np.ndarray  # uint64 ascending: documents of large components
    slices: np.ndarray  # int64: the slice of each

    @property
    def sliced(self) -> int:
        """Return how many slices there are."""
        return int(self.slices.max(initial=-1)) + 1

    def of(self, nodes: np.ndarray, components: np.ndarray) -> np.ndarray:
        """Return the range of each document in the exchange, int64."""
        jobs = job_of(components, self.count)
        place = np.minimum(np.searchsorted(self.nodes, nodes), max(len(self.nodes) - 1, 0))
        if len(self.nodes):
            sliced = self.nodes[place] == nodes
            jobs[sliced] = self.count + self.slices[place[sliced]]
        return jobs


def gather(task: Gather) -> None:
    """Collect and deal; see `Gather`. Memory: the evidence of the group, twice."""
    nodes, components = task.candidates.read(task.group)
    found = [task.source.schema.empty_table()]
    for shelf in task.candidates.groups[task.group]:
        low, high = np.searchsorted(nodes, [shelf.number << 32, (shelf.number + 1) << 32])
        if high > low:
            found.append(task.source.collect(shelf, nodes[low:high], components[low:high]))
    task.dealt.write(f"{task.group:010d}", pa.concat_tables(found), task.jobs.of(nodes, components))
