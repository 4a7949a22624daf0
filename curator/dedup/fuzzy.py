"""Near-duplicates: MinHash-like sketches find candidates, exact Jaccard decides, a witness is recorded."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames, kernels
from curator.errors import SpecError, check_seed
from curator.rejections import RejectListed, write_lists
from curator.run.corpus import Corpus
from curator.stage import CorpusStage, Frame


@dataclass(frozen=True)
class FuzzyDedup(CorpusStage):
    """Remove a document if and only if a kept one is proven to be nearly the same.

    Shingles are `width` consecutive words, lower-cased. Documents that share a band of their sketches
    are candidates; in the order of `keep`, a document goes if its exact Jaccard similarity to a candidate
    that stays is at least `jaccard` (the witness rule), so no chain of near-misses can swallow a source.

    With bands b and rows r a pair of similarity s becomes a candidate with probability 1 - (1 - s^r)^b:
    0.92 at 0.8 and 0.9996 at 0.9 for 14 x 8. Sketch: Fast Similarity Sketching (Dahlgaard, Knudsen,
    Thorup, FOCS 2017). Cost: 8 x bands bytes of sketch a document; text is reread for candidates only,
    whose shingle sets (about 1.3 times their text) lie in memory while the stage fits.
    """

    jaccard: float = 0.8
    bands: int = 14
    rows: int = 8
    width: int = 5  # words a shingle
    keep: Literal["first", "longest"] = "first"  # ties by doc_id
    max_bucket: int = 1000  # kept documents of one bucket that a later one is compared with
    seed: int = 0

    reads: ClassVar = {"doc_id": "uint64", "text": "string"}
    sketch_fields: ClassVar = ("bands", "rows", "width", "seed")

    def __post_init__(self) -> None:
        if not 0 < self.jaccard <= 1:
            raise SpecError(f"FuzzyDedup.jaccard is {self.jaccard}; it must be above 0 and at most 1")
        check_seed("FuzzyDedup", self.seed)
        for name in ("bands", "rows", "width", "max_bucket"):
            if getattr(self, name) < 1:
                raise SpecError(f"FuzzyDedup.{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def sketches(self) -> dict[str, str]:  # type: ignore[override]
        return {**dict.fromkeys(self._bands(), "uint64"), "characters": "int64"}

    def _bands(self) -> list[str]:
        return [f"band_{i:02d}" for i in range(self.bands)]

    def sketch(self, frame: Frame) -> Frame:
        keys = kernels.band_keys(frame["text"], "fss", "words", self.width, self.bands, self.rows, self.seed)
        return keys.assign(characters=kernels.text_length(frame["text"])["characters"])

    def fit(self, corpus: Corpus, folder: str) -> RejectListed:
        from curator.kernels import lsh, witness

        table = corpus.sketched(*self._bands(), "characters")
        ids = table["doc_id"].to_numpy()
        keys = np.column_stack([pc.fill_null(table[name], 0).to_numpy() for name in self._bands()])
        empty = pc.is_null(table["band_00"]).to_numpy()
        candidates = np.flatnonzero(lsh.candidates(keys, empty))
        look = functools.partial(_shingles, width=self.width)
        found = list(corpus.evidence(ids[candidates], ("text",), look))
        order = np.arange(len(candidates))
        if self.keep == "longest":
            order = np.lexsort((ids[candidates], -table["characters"].to_numpy()[candidates]))
        verdict = witness.witness_rule(
            keys[candidates], order, *_joined([sets for _, sets in found]), self.jaccard, self.max_bucket
        )
        if verdict.buckets_over_cap:
            corpus.say(
                f"FuzzyDedup: {verdict.buckets_over_cap} buckets hold more than {self.max_bucket} kept documents; "
                "in those, later documents were compared with the first of them only"
            )
        gone = np.flatnonzero(verdict.witness >= 0)
        own = ids[candidates]
        write_lists(folder, own[gone], own[verdict.witness[gone]], verdict.similarity[gone])
        return RejectListed(folder, "near_duplicate", self.jaccard)


def _shingles(frame: Frame, width: int) -> Any:
    """Return the shingle sets of a part's candidates: a list array of sorted distinct uint64."""
    return frames.column_to_arrow(kernels.shingle_sets(frame["text"], "words", width)["shingles"])


def _joined(sets: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return (starts int64 (documents + 1), flat uint64) of all parts' shingle sets."""
    if not sets:
        return np.zeros(1, np.int64), np.zeros(0, np.uint64)
    whole = pa.concat_arrays(sets)
    return whole.offsets.to_numpy(), whole.values.to_numpy()
