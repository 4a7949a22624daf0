"""All documents that take part, of this run and of the indexes it is held against, under one numbering.

A *node* is shelf << 32 | row. Shelves are parts: those of the first index come first, then those of the
second, ..., then those of this run. So nodes ascend by (batch, doc_id), which is the order of age.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curator.dedup.near.index import Index
from curator.run.corpus import Corpus, Sketches, consecutive

ROW = np.uint64(0xFFFFFFFF)
SHIFT = np.uint64(32)


@dataclass(frozen=True)
class Shelf:
    """One part of one batch."""

    number: int
    batch: int  # position in Documents.indexes; their number for this run
    part: int
    rows: int  # documents, at most
    source: str  # of this run's parts


@dataclass(frozen=True)
class Documents:
    """Goes to any task."""

    alive: Sketches
    indexes: tuple[Index, ...]
    shelves: tuple[Shelf, ...]

    @staticmethod
    def of(corpus: Corpus, indexes: tuple[Index, ...]) -> Documents:
        """Number the shelves of a corpus and the indexes it is held against."""
        parts = [(b, part, rows, "") for b, index in enumerate(indexes) for part, rows in index.parts]
        own = zip(corpus.parts, corpus.rows, corpus.sources, strict=True)
        parts += [(len(indexes), *said) for said in own]
        return Documents(corpus.alive, indexes, tuple(Shelf(n, *said) for n, said in enumerate(parts)))

    @property
    def first_own(self) -> int:
        """Return the number of this run's first shelf."""
        return next((s.number for s in self.shelves if s.batch == len(self.indexes)), len(self.shelves))

    def is_own(self, nodes: np.ndarray) -> np.ndarray:
        """Tell which nodes are documents of this run."""
        return nodes >= np.uint64(self.first_own) << SHIFT

    def batches(self, nodes: np.ndarray) -> np.ndarray:
        """Return the batch of each node, int64."""
        return np.array([s.batch for s in self.shelves], np.int64)[(nodes >> SHIFT).astype(np.int64)]

    def doc_ids(self, nodes: np.ndarray) -> np.ndarray:
        """Return each node's doc_id in its own run, uint64."""
        parts = np.array([s.part for s in self.shelves], np.uint64)
        return parts[(nodes >> SHIFT).astype(np.int64)] << SHIFT | nodes & ROW

    def runs(self, nodes: np.ndarray) -> pa.Array:
        """Return the run_uid of each node; null: this run."""
        names = pa.array([*(index.run_uid for index in self.indexes), None], pa.large_string())
        return names.take(pa.array(self.batches(nodes)))

    def read(self, shelf: Shelf, *columns: str) -> pa.Table:
        """Return the sketches of a shelf, with doc_id numbered as nodes."""
        if shelf.batch < len(self.indexes):
            table = self.indexes[shelf.batch].read(shelf.part, *columns)
        else:
            table = self.alive.read(shelf.part, *columns)
        nodes = np.uint64(shelf.number) << SHIFT | table["doc_id"].to_numpy() & ROW
        return table.set_column(0, "doc_id", pa.array(nodes))

    def groups(self, rows: int) -> list[tuple[Shelf, ...]]:
        """Cut the shelves into runs of consecutive ones with about so many documents, for a task each."""
        return consecutive(self.shelves, [shelf.rows for shelf in self.shelves], rows)
