"""Exact duplicates: equal text, or equal values of any other column, as they are or normalised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from curator import kernels
from curator.dedup.policy import Policy, parse
from curator.dedup.removals import Removals
from curator.rejections import RejectListed, listed
from curator.run.corpus import Corpus, Sketches
from curator.run.exchange import Exchange, range_of
from curator.schema import arrow_schema
from curator.stage import CorpusStage, Frame

HASHED = {"doc_id": "uint64", "hash_hi": "uint64", "hash_lo": "uint64"}
RANKED = {"priority": "float64"}  # smaller is kept first; moved only where the policy needs it
EMPTY = (0x99AA06D3014798D8, 0x6001C324468D497F)  # XXH3-128 of no bytes


@dataclass(frozen=True)
class ExactDedup(CorpusStage):
    """Keep one document of each group with equal text, or with equal values of another column.

    What is compared, by `normalise`:
    none   the bytes
    space  white space (str.isspace) at the ends is off, and each run of it inside is one space
    words  lower-cased runs of \\w, as FuzzyDedup sees text; a text without any is compared as it is
    url    the canonical URL (curator.kernels.urls), for columns that hold URLs

    A missing text equals an empty one, and empty texts are equal. In any other column a missing or empty
    value (after normalisation) says nothing: such documents are nobody's duplicates.

    Equality is of XXH3-128 hashes: at 10 billion documents the chance of one false match is about
    1.5e-19. Moves 24 bytes a document, 32 where `keep` ranks; never the text.
    """

    column: str = "text"  # any column of strings
    normalise: Literal["none", "space", "words", "url"] = "none"
    keep: str = "first"  # | longest | best:<signal or column> | source:<first,second,...>; ties by doc_id

    def __post_init__(self) -> None:
        parse("ExactDedup", self.keep)

    @property
    def policy(self) -> Policy:
        """Return `keep`, parsed."""
        return parse("ExactDedup", self.keep)

    @property
    def reads(self) -> dict[str, str]:  # type: ignore[override]
        return {"doc_id": "uint64", self.column: "string", **self.policy.reads}

    @property
    def sketches(self) -> dict[str, str]:  # type: ignore[override]
        return {"hash_hi": "uint64", "hash_lo": "uint64", **self.policy.sketches}

    @property
    def sketch_fields(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("column", "normalise", *(["keep"] if self.policy.sketches else []))

    @property
    def ranked_by(self) -> str:  # type: ignore[override]
        return self.policy.needs

    def sketch(self, frame: Frame) -> Frame:
        column = frame[self.column]
        if self.normalise != "none":
            column = kernels.normalised(column, self.normalise)["normalised"]
        hashes = kernels.hash128(column)
        if self.policy.sketches:
            return hashes.assign(characters=kernels.text_length(frame["text"])["characters"])
        return hashes

    def fit(self, corpus: Corpus, folder: str) -> RejectListed:
        self.policy.check_sources("ExactDedup", corpus)
        dealt = corpus.exchange("hashes", sum(corpus.rows))
        removals = Removals.of(corpus)
        source = dict(zip(corpus.parts, corpus.sources, strict=True))
        tasks = [
            _Deal(self, corpus.alive, parts, tuple(source[part] for part in parts), dealt) for parts in corpus.groups()
        ]
        corpus.map("dealing hashes", _deal, tasks)
        ranges = [_Match(dealt, number, removals, self.policy.ranks) for number in range(dealt.ranges)]
        corpus.map("matching hashes", _match, ranges)
        removals.publish(corpus, folder)
        return RejectListed(folder, "exact_duplicate")


@dataclass(frozen=True)
class _Deal:
    stage: ExactDedup
    alive: Sketches
    parts: tuple[int, ...]
    sources: tuple[str, ...]  # of the parts
    dealt: Exchange


def _deal(task: _Deal) -> None:
    policy, pieces = task.stage.policy, []
    for part, source in zip(task.parts, task.sources, strict=True):
        sketched = task.alive.read(part, *task.stage.sketches)
        piece = sketched.select(list(HASHED))
        if policy.ranks:
            priority = pa.array(policy.priorities(task.alive, part, source, sketched))
            piece = piece.append_column("priority", priority)
        pieces.append(piece)
    table = pa.concat_tables([_schema(policy.ranks).empty_table(), *pieces])
    if task.stage.column != "text":
        table = table.filter(pa.array(~_is_empty(table)))
    task.dealt.write(f"{task.parts[0]:010d}", table, range_of(table["hash_hi"].to_numpy(), task.dealt.ranges))


def _is_empty(table: pa.Table) -> np.ndarray:
    empty: np.ndarray = table["hash_hi"].to_numpy() == np.uint64(EMPTY[0])
    empty &= table["hash_lo"].to_numpy() == np.uint64(EMPTY[1])
    return empty


def _schema(ranked: bool) -> pa.Schema:
    return arrow_schema(HASHED | RANKED if ranked else HASHED)


@dataclass(frozen=True)
class _Match:
    dealt: Exchange
    range: int
    removals: Removals
    ranked: bool


def _match(task: _Match) -> None:
    table = task.dealt.read(task.range, _schema(task.ranked))
    ids = table["doc_id"].to_numpy()
    priority = table["priority"].to_numpy() if task.ranked else None
    kept = kept_of_equal(table["hash_hi"].to_numpy(), table["hash_lo"].to_numpy(), priority)
    gone = kept != np.arange(len(ids))
    task.removals.add(f"{task.range:010d}", listed(ids[gone], ids[kept[gone]], np.ones(int(gone.sum()))))


def kept_of_equal(high: np.ndarray, low: np.ndarray, priority: np.ndarray | None = None) -> np.ndarray:
    """Return for each row the row that stays of those with the same (high, low), int64 (rows,).

    high, low: uint64 (rows,). The one of smallest priority stays, float64 (rows,) without NaN, of equals
    the first. O(n log n).
    """
    order = np.lexsort((low, high) if priority is None else (priority, low, high))  # stable: equals stay in row order
    high, low = high[order], low[order]
    starts = np.ones(len(order), bool)
    starts[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    group = np.cumsum(starts) - 1
    kept = np.empty(len(order), np.int64)
    kept[order] = order[np.flatnonzero(starts)[group]]
    return kept
