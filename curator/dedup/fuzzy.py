"""Near-duplicates: MinHash-like sketches find candidates, exact Jaccard decides, a witness is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from curator import kernels
from curator.dedup.policy import Policy, parse
from curator.errors import DedupIndexError, SpecError, check_seed
from curator.rejections import RejectListed
from curator.run.corpus import Corpus
from curator.stage import CorpusStage, Frame
from millrace import storage

if TYPE_CHECKING:
    import pyarrow as pa

    from curator.dedup.near.in_memory import Found
    from curator.dedup.near.index import Index


MAX_VALUES = 1 << 16  # of a sketch
MAX_BUCKET = 1 << 31


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
    (1.3 times the text) of candidates only. A task holds 4 M (document, band) rows or some 256 MB of shingles;
    the main process 9 bytes a document up to 100 M documents. docs/deduplication.md has the whole account.
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
    against: tuple[str, ...] | str = ()  # indexes, or runs that hold one, the oldest first
    dropped_later: bool = True  # documents of an index that a later stage of its run dropped are witnesses too
    within: bool = True  # False: only `against` counts (to clean a corpus of a protected set)
    index: Literal["none", "fingerprints", "text"] = "none"  # leave an index: with shingles, or reread the text
    max_source_loss: float = 0.9  # stop where a source would lose a greater share
    allow_loss: tuple[str, ...] | str = ()  # sources that may
    seed: int = 0

    reads: ClassVar = {"doc_id": "uint64", "text": "string"}
    sketch_fields: ClassVar = ("bands", "rows", "shingles", "width", "signature", "seed")
    version: ClassVar = 2

    def __post_init__(self) -> None:
        for name in ("against", "allow_loss"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        object.__setattr__(self, "against", tuple(map(storage.absolute, self.against)))
        for name, low in (("jaccard", "above 0"), ("max_source_loss", "at least 0")):
            value = getattr(self, name)
            if not (0 <= value <= 1 and (value > 0 or name != "jaccard")):
                raise SpecError(f"FuzzyDedup.{name} is {value}; it must be {low} and at most 1")
        check_seed("FuzzyDedup", self.seed)
        for name in ("bands", "rows", "width", "max_bucket"):
            if getattr(self, name) < 1:
                raise SpecError(f"FuzzyDedup.{name} is {getattr(self, name)}; it must be at least 1")
        if self.signature.startswith("cudf") and self.width < 2:
            raise SpecError(f"FuzzyDedup.width is {self.width}; the windows of {self.signature} are at least 2 wide")
        if self.cluster == "witness" and not self.verify:
            raise SpecError("FuzzyDedup.verify is False, and the witness rule rests on proof; set cluster: components")
        if self.cluster == "components" and (self.against or not self.within):
            raise SpecError(
                "FuzzyDedup.against and within are the witness rule's: an index holds no removed documents, which "
                "would connect others; leave cluster as it is"
            )
        if self.bands * self.rows > MAX_VALUES or self.max_bucket > MAX_BUCKET:
            raise SpecError(
                f"FuzzyDedup: bands x rows is {self.bands * self.rows} and max_bucket {self.max_bucket}; they must be "
                f"at most {MAX_VALUES} and {MAX_BUCKET}"
            )
        parse("FuzzyDedup", self.keep)

    @property
    def policy(self) -> Policy:
        """Return `keep`, parsed."""
        return parse("FuzzyDedup", self.keep)

    @property
    def ranked_by(self) -> str:  # type: ignore[override]
        return self.policy.needs

    @property
    def sketches(self) -> dict[str, str]:  # type: ignore[override]
        return {**dict.fromkeys(self.band_names(), "uint64"), "characters": "int64"}

    @property
    def publishes(self) -> tuple[str, ...]:
        return ("index",) if self.index != "none" else ()

    def check(self, output: str) -> None:
        for index in self.indexes():
            if index.run_folder == output:
                raise DedupIndexError(f"FuzzyDedup.against names {output}, the run itself; name runs before it")

    def indexes(self) -> tuple[Index, ...]:
        """Return what `against` names, opened and checked. Raises DedupIndexError."""
        from curator.dedup.near.index import open_index

        return tuple(open_index(url, self.settings(), not self.dropped_later) for url in self.against)

    def named_files(self) -> dict[str, tuple[str, ...]]:
        from curator.dedup.near.index import manifest_of, run_of

        manifests = tuple(map(manifest_of, self.against))
        runs = () if self.dropped_later else tuple(storage.join(run_of(url), "run.json") for url in self.against)
        return {"against": (*manifests, *runs)}

    def band_names(self) -> list[str]:
        """Return the columns of the sketch that hold band keys."""
        return [f"band_{i:02d}" for i in range(self.bands)]

    def settings(self) -> dict[str, Any]:
        """Return what shapes sketches and shingles, and so must be the same in an index."""
        return {name: getattr(self, name) for name in self.sketch_fields}

    def sketch(self, frame: Frame) -> Frame:
        keys = kernels.band_keys(
            frame["text"], self.signature, self.shingles, self.width, self.bands, self.rows, self.seed
        )
        return keys.assign(characters=kernels.text_length(frame["text"])["characters"])

    def fit(self, corpus: Corpus, folder: str) -> RejectListed:
        from curator.dedup.near.fit import fit

        return fit(self, corpus, folder)

    def find(self, texts: pa.Array | pa.ChunkedArray) -> Found:
        """Decide texts in memory, without files: which rows go, with the kept row that shows why.

        texts: an Arrow array of strings; null counts as empty. `keep` is first or longest; indexes and guards are
        for runs. Memory: 8 bytes a band and text, 1.3 times the text of candidates.
        """
        from curator.dedup.near.in_memory import near_duplicates

        return near_duplicates(texts, self)
