"""Exact duplicates: the same text, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curator import kernels
from curator.dedup.removals import Removals
from curator.rejections import RejectListed, listed
from curator.run.corpus import Corpus, Sketches
from curator.run.exchange import Exchange, range_of
from curator.schema import arrow_schema
from curator.stage import CorpusStage, Frame

HASHED = arrow_schema({"doc_id": "uint64", "hash_hi": "uint64", "hash_lo": "uint64"})


@dataclass(frozen=True)
class ExactDedup(CorpusStage):
    """Keep one document of each group with equal text.

    Equality is of XXH3-128 hashes: at 10 billion documents the chance of one false match is about
    1.5e-19. Texts of no characters are equal too. Moves 24 bytes a document, never the text.
    """

    reads: ClassVar = {"doc_id": "uint64", "text": "string"}
    sketches: ClassVar = {"hash_hi": "uint64", "hash_lo": "uint64"}

    def sketch(self, frame: Frame) -> Frame:
        return kernels.hash128(frame["text"])

    def fit(self, corpus: Corpus, folder: str) -> RejectListed:
        dealt = corpus.exchange("hashes", sum(corpus.rows))
        removals = Removals.of(corpus)
        corpus.map("dealing hashes", _deal, [_Deal(corpus.alive, parts, dealt) for parts in corpus.groups()])
        corpus.map("matching hashes", _match, [_Match(dealt, r, removals) for r in range(dealt.ranges)])
        removals.publish(corpus, folder)
        return RejectListed(folder, "exact_duplicate")


@dataclass(frozen=True)
class _Deal:
    alive: Sketches
    parts: tuple[int, ...]
    dealt: Exchange


def _deal(task: _Deal) -> None:
    table = task.alive.read_all(task.parts, "hash_hi", "hash_lo").select(HASHED.names)
    task.dealt.write(f"{task.parts[0]:010d}", table, range_of(table["hash_hi"].to_numpy(), task.dealt.ranges))


@dataclass(frozen=True)
class _Match:
    dealt: Exchange
    range: int
    removals: Removals


def _match(task: _Match) -> None:
    table = task.dealt.read(task.range, HASHED)
    ids = table["doc_id"].to_numpy()
    first = first_of_equal(table["hash_hi"].to_numpy(), table["hash_lo"].to_numpy())
    gone = first != np.arange(len(ids))
    task.removals.add(f"{task.range:010d}", listed(ids[gone], ids[first[gone]], np.ones(int(gone.sum()))))


def first_of_equal(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Return for each row the first row with the same (high, low); uint64 (rows,) each. O(n log n)."""
    order = np.lexsort((low, high))  # stable: equal hashes stay in row order
    high, low = high[order], low[order]
    starts = np.ones(len(order), bool)
    starts[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    group = np.cumsum(starts) - 1
    first = np.empty(len(order), np.int64)
    first[order] = order[np.flatnonzero(starts)[group]]
    return first
