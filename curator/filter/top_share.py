"""Keeping the best share of a corpus by a score, which no filter can do that sees one batch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Literal

import numpy as np

from curator.errors import SpecError
from curator.run.corpus import Corpus, Sketches
from curator.stage import Column, CorpusStage, Filter, Frame

SIGN = np.uint32(1 << 31)


@dataclass(frozen=True)
class TopShare(CorpusStage):
    """Keep the share of all documents whose score is best, such as a tenth by the probability of a classifier.

    The limit is the score of the last document that the share holds, found exactly over the whole corpus; documents
    that tie with it stay as well. A missing score (null or NaN) neither counts nor rejects. Two passes over 4 bytes a
    document; 256 kB a task are brought together.
    """

    score: str  # a float32 column, such as quality_score of ClassifierFilter or perplexity
    share: float = 0.1  # DCLM keeps a tenth (Li et al. 2024, arXiv:2406.11794)
    best: Literal["highest", "lowest"] = "highest"  # lowest: of a perplexity

    sketch_fields: ClassVar = ("score",)

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise SpecError(f"TopShare.share is {self.share}; it must be above 0 and at most 1")

    @property
    def reads(self) -> dict[str, str]:  # type: ignore[override]
        return {"doc_id": "uint64", self.score: "float32"}

    @property
    def sketches(self) -> dict[str, str]:  # type: ignore[override]
        return {self.score: "float32"}

    def stored(self) -> dict[str, str]:
        return {f"{self.score}_ranked": "float32"}

    def sketch(self, frame: Frame) -> Frame:
        return frame[[self.score]]

    def fit(self, corpus: Corpus, folder: str) -> BetterThan:
        groups = corpus.groups()
        lowest = self.best == "lowest"
        first = [_Count(corpus.alive, parts, self.score, lowest) for parts in groups]
        upper = sum(corpus.map("ranking scores", _count, first), np.zeros(1 << 16, np.int64))
        wanted = wanted_of(self.share, int(upper.sum()))
        if not wanted:
            return BetterThan(self.score, None, lowest)
        high, left = _last(upper, wanted)
        second = [_Count(corpus.alive, parts, self.score, lowest, high) for parts in groups]
        lower = sum(corpus.map("finding the limit", _count, second), np.zeros(1 << 16, np.int64))
        low, _ = _last(lower, left)
        key = np.array([high << 16 | low], np.uint32)
        return BetterThan(self.score, float(_scores(key, lowest)[0]), lowest)


@dataclass(frozen=True)
class BetterThan(Filter):
    """Reject what TopShare has found to be worse than the limit."""

    score: str
    limit: float | None  # None: no document has a score
    lowest: bool

    @property
    def reads(self) -> dict[str, str]:  # type: ignore[override]
        return {self.score: "float32"}

    @property
    def signals(self) -> dict[str, str]:  # type: ignore[override]
        return {f"{self.score}_ranked": "float32"}

    def measure(self, frame: Frame) -> Frame:
        return frame[[self.score]].rename(columns={self.score: f"{self.score}_ranked"})

    def reject(self, signals: Frame) -> dict[str, Column]:
        ranked = signals[f"{self.score}_ranked"]
        if self.limit is None:
            return {}
        return {"not_in_share": ranked > self.limit if self.lowest else ranked < self.limit}

    def explain(self, signals: Frame, reason: str) -> dict[str, Any]:
        return {"value": signals[f"{self.score}_ranked"].astype("float64"), "threshold": self.limit}


@dataclass(frozen=True)
class _Count:
    alive: Sketches
    parts: tuple[int, ...]
    score: str
    lowest: bool
    high: int | None = None  # count the lower halves of keys whose upper half is this


def _count(task: _Count) -> np.ndarray:
    """Count scores by the upper, or the lower, half of their keys: int64 (65536,), best first."""
    counts = np.zeros(1 << 16, np.int64)
    for part in task.parts:
        scores = task.alive.read(part, task.score)[task.score].to_numpy()  # NaN where it is null
        keys = _keys(scores[~np.isnan(scores)], task.lowest)
        halves = keys >> np.uint32(16)
        if task.high is not None:
            halves = keys[halves == task.high] & np.uint32(0xFFFF)
        counts += np.bincount(halves, minlength=1 << 16)
    return counts


def wanted_of(share: float, documents: int) -> int:
    """Return how many documents a share holds, rounded up: of the share as it is written, for 0.07 as a binary
    fraction of 100 documents is more than seven."""
    return math.ceil(Fraction(str(share)) * documents)


def _last(counts: np.ndarray, wanted: int) -> tuple[int, int]:
    """Return where the wanted-th of counted things lies, and which one it is there, from 1."""
    ends = np.cumsum(counts)
    place = int(np.searchsorted(ends, wanted))
    return place, wanted - int(ends[place] - counts[place])


def _keys(scores: np.ndarray, lowest: bool) -> np.ndarray:
    """Return uint32 keys that ascend from the best score to the worst."""
    bits = (scores.astype(np.float32) + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0
    ascending = np.where(bits & SIGN, ~bits, bits | SIGN)
    return ascending if lowest else ~ascending


def _scores(keys: np.ndarray, lowest: bool) -> np.ndarray:
    """Return the scores of keys."""
    ascending = keys if lowest else ~keys
    return np.where(ascending & SIGN, ascending ^ SIGN, ~ascending).astype(np.uint32).view(np.float32)
