"""Near-duplicates: MinHash-like sketches find candidates, exact Jaccard decides, a witness is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from curator import kernels
from curator.dedup import policy
from curator.dedup.near import build, guard
from curator.dedup.near.components import find_components, mean_characters
from curator.dedup.near.decide import Job, Rule, decide
from curator.dedup.near.documents import Documents
from curator.dedup.near.evidence import Gather, Shingling, Source, gather
from curator.dedup.near.index import manifest_of, open_index
from curator.dedup.near.jobs import plan_jobs
from curator.dedup.near.limits import Limits
from curator.dedup.near.links import Links, find_links
from curator.dedup.near.rounds import decide_in_rounds
from curator.dedup.removals import Removals
from curator.errors import SpecError, check_seed
from curator.rejections import RejectListed
from curator.run.corpus import Corpus
from curator.run.exchange import Exchange
from curator.stage import CorpusStage, Frame
from millrace import storage

LIMITS = Limits()
EVIDENCE = 1.4  # bytes of it for a character of a candidate's text


@dataclass(frozen=True)
class FuzzyDedup(CorpusStage):
    """Remove a document if and only if a kept one is proven to be nearly the same.

    Shingles are `width` consecutive words, lower-cased, or characters. Documents that share a band of their
    sketches are candidates; in the order of `keep`, a document goes if its exact Jaccard similarity to a
    candidate that stays is at least `jaccard` (the witness rule), so no chain of near-misses can swallow a
    source. A text without words has no near-duplicates.

    With bands b and rows r a pair of similarity s becomes a candidate with probability 1 - (1 - s^r)^b:
    0.92 at 0.8 and 0.9996 at 0.9 for 14 x 8 (`millrace bands` proposes others). Sketch: Fast Similarity
    Sketching (Dahlgaard, Knudsen, Thorup, FOCS 2017), classic MinHash, or what cudf's minhash gives.

    In writing without spaces a run of letters is one word, so word shingles are as long as several clauses:
    for Chinese, Japanese or Thai take `shingles: characters` with a `width` of 5 to 10.

    Against an index that an earlier run left (`index`), documents already there go too, with witnesses from
    there: what stays is what one run over both would leave, in the order (batch, keep, doc_id).

    Cost: 8 bytes a band and document on disk, as much again twice that while buckets are found; shingle sets
    (1.3 times the text) of candidates only. A task holds 4 M (document, band) rows or 256 MB of shingles; the main
    process 4 bytes a document up to 250 M documents, and nothing of that beyond.
    """

    jaccard: float = 0.8
    bands: int = 14
    rows: int = 8
    shingles: Literal["words", "characters"] = "words"
    width: int = 5  # words or characters a shingle
    signature: Literal["fss", "minhash", "cudf", "cudf64"] = "fss"
    keep: str = "first"  # first, longest, best:SIGNAL, source:A,B; ties by doc_id
    cluster: Literal["witness", "components"] = "witness"  # components: one of each, as NeMo and datatrove do
    verify: bool = True  # False, with components only: whatever shares a bucket is a duplicate
    max_bucket: int = 1000  # kept documents of one bucket that a later one is compared with
    against: tuple[str, ...] = ()  # indexes, or runs that hold one, the oldest first
    dropped_later: bool = True  # documents of an index that a later stage of its run dropped are witnesses too
    within: bool = True  # False: only `against` counts (to clean a corpus of a protected set)
    index: Literal["none", "fingerprints", "text"] = "none"  # leave an index: with shingles, or reread the text
    max_source_loss: float = 0.9  # stop where a source would lose a greater share
    allow_loss: tuple[str, ...] = ()  # sources that may
    seed: int = 0

    reads: ClassVar = {"doc_id": "uint64", "text": "string"}
    sketch_fields: ClassVar = ("bands", "rows", "shingles", "width", "signature", "seed")

    def __post_init__(self) -> None:
        for name in ("against", "allow_loss"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        for name, low in (("jaccard", "above 0"), ("max_source_loss", "at least 0")):
            value = getattr(self, name)
            if not (0 <= value <= 1 and (value > 0 or name != "jaccard")):
                raise SpecError(f"FuzzyDedup.{name} is {value}; it must be {low} and at most 1")
        check_seed("FuzzyDedup", self.seed)
        for name in ("bands", "rows", "width", "max_bucket"):
            if getattr(self, name) < 1:
                raise SpecError(f"FuzzyDedup.{name} is {getattr(self, name)}; it must be at least 1")
        if self.cluster == "witness" and not self.verify:
            raise SpecError("FuzzyDedup.verify is False, and the witness rule rests on proof; set cluster: components")
        if self.cluster == "components" and not self.within:
            raise SpecError("FuzzyDedup.within is False, which only the witness rule knows; leave cluster as it is")
        policy.parse(self.keep)

    @property
    def sketches(self) -> dict[str, str]:  # type: ignore[override]
        return {**dict.fromkeys(self._bands(), "uint64"), "characters": "int64"}

    @property
    def publishes(self) -> tuple[str, ...]:
        return ("index",) if self.index != "none" else ()

    def named_files(self) -> dict[str, tuple[str, ...]]:
        return {"against": tuple(map(manifest_of, self.against))}

    def _bands(self) -> list[str]:
        return [f"band_{i:02d}" for i in range(self.bands)]

    def settings(self) -> dict[str, Any]:
        """Return what shapes sketches and shingles, and so must be the same in an index."""
        return {name: getattr(self, name) for name in self.sketch_fields}

    def sketch(self, frame: Frame) -> Frame:
        keys = kernels.band_keys(frame["text"], self.bands, self.rows, self.width, self.seed)
        return keys.assign(characters=kernels.text_length(frame["text"])["characters"])

    def fit(self, corpus: Corpus, folder: str) -> RejectListed:
        indexes = tuple(open_index(url, self.settings(), not self.dropped_later) for url in self.against)
        documents = Documents.of(corpus, indexes)
        shingling = Shingling(self.shingles, self.width)
        order = policy.parse(self.keep)
        removals = Removals.of(corpus)
        links = find_links(corpus, documents, self._bands(), self.max_bucket, self.within, LIMITS.task_rows)
        source = Source(documents, tuple(self._bands()), shingling if self.verify else None, order, corpus.device)
        over = self._decide(corpus, source, links, removals)
        if over:
            corpus.say(
                f"FuzzyDedup: {over} buckets hold more than {self.max_bucket} kept documents; "
                "in those, later documents were compared with the first of them only"
            )
        lost = removals.publish(corpus, folder)
        rejecting = RejectListed(folder, "near_duplicate", self.jaccard if self.verify else None)
        guard.check(corpus, documents, links.census, lost, rejecting, self.max_source_loss, self.allow_loss)
        if self.index != "none":
            build.write_index(corpus, source, shingling, rejecting, self.settings(), self.index)
        return rejecting

    def _decide(self, corpus: Corpus, source: Source, links: Links, removals: Removals) -> int:
        """Decide every candidate; return how many buckets are over the cap."""
        rule = Rule(self.cluster, self.verify, self.jaccard, self.max_bucket, self.within)
        each = max(1.0, mean_characters(links.census) * EVIDENCE + 16 * self.bands)
        fit_a_job = max(1, int(LIMITS.job_bytes / each))
        candidates = find_components(corpus, source.documents, links, fit_a_job, fit_a_job, LIMITS)
        storage.remove(links.folder)
        jobs = plan_jobs(corpus, source, candidates, fit_a_job, rounds=self.cluster == "witness")
        dealt = Exchange(storage.join(corpus.scratch, "evidence"), jobs.count + jobs.sliced)
        groups = range(len(candidates.groups))
        corpus.map("gathering evidence", gather, [Gather(source, candidates, g, jobs, dealt) for g in groups])
        numbers = range(jobs.count)
        over = corpus.map("deciding", decide, [Job(source, dealt, number, rule, removals) for number in numbers])
        over += decide_in_rounds(corpus, source, dealt, jobs.count, jobs.sliced, rule, removals)
        storage.remove(dealt.folder)
        return len(np.unique(np.concatenate(over)))
