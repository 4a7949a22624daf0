"""Lines and paragraphs that repeat, within a document and across the corpus, are cut out of the texts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import kernels
from curator.cuts import LISTED, CutListed, write_cuts
from curator.dedup.by_part import ByPart
from curator.errors import SpecError
from curator.run.corpus import Corpus, Sketches
from curator.run.exchange import Exchange, range_of
from curator.schema import arrow_schema
from curator.stage import CorpusStage, Frame

FOUND = arrow_schema({"hash": "uint64", "doc_id": "uint64", "line": "uint32"})  # line: its place in the sketch
DECIDED = arrow_schema({"doc_id": "uint64", "line": "uint32", "witness": "uint64", "copies": "int64"})


@dataclass(frozen=True)
class LineDedup(CorpusStage):
    """Cut lines that are repeated.

    Within a document a line stays where it is first, and goes elsewhere. Across the corpus (`scope`) a line
    that is in more than `max_copies` documents goes from all of them but the first, by doc_id (`keep="first"`:
    CCNet, Wenzek et al. 2020, section 3.1, with paragraphs for its lines), or from all (`keep="none"`:
    boilerplate; run ExactDedup before it, for whole copies lose everything). Lines of fewer than
    `min_characters` characters are left alone. A line is cut with its line break (\\n or \\r\\n); no other
    character breaks lines.

    Lines are equal if their normal form (`space`: white-space runs as one space, ends trimmed; `words`:
    lower-cased runs of \\w) has the same 64-bit hash: a line among 10 billion different ones is cut
    wrongly with a chance of 5e-10. Every cut is kept under `signals/` with the document that keeps the
    line (`witness`, null where none does) and the number of documents that hold it (`copies`; where the
    witness is the document itself, how often it holds the line). A document of which nothing is left, or
    more than `max_cut` of its bytes is cut, is dropped; what a document so dropped was to keep is lost.

    Cost: 16 bytes of sketch a line that counts; 20 bytes moved a line and document that holds it, and 28 back
    for each that loses it, on disk. Memory: a task holds about 4 million lines, or those of one part, at up
    to 250 bytes each.
    """

    scope: Literal["corpus", "document"] = "corpus"
    min_characters: int = 20  # white space not counted; shorter lines are headings and replies, shared by chance
    max_copies: int = 1  # documents that may hold a line
    keep: Literal["first", "none"] = "first"
    normalise: Literal["space", "words"] = "space"
    max_cut: float = 1.0  # share of a text's bytes; a text that loses more is dropped

    unit: ClassVar[Literal["line", "paragraph"]] = "line"
    reads: ClassVar = {"doc_id": "uint64", "text": "string"}
    writes: ClassVar = {"text": "string"}
    sketches: ClassVar = {"hashes": "list<uint64>", "starts": "list<uint32>", "stops": "list<uint32>"}
    sketch_fields: ClassVar = ("min_characters", "normalise")

    def __post_init__(self) -> None:
        name = type(self).__name__
        for field in ("min_characters", "max_copies"):
            if getattr(self, field) < 1:
                raise SpecError(f"{name}.{field} is {getattr(self, field)}; it must be at least 1")
        if not 0 <= self.max_cut <= 1:
            raise SpecError(f"{name}.max_cut is {self.max_cut}; it must be from 0 to 1")
        if self.scope == "document" and (self.max_copies, self.keep) != (1, "first"):
            raise SpecError(f"{name}: max_copies and keep are about the corpus; scope is document")

    def stored(self) -> dict[str, str]:
        return CutListed("", self.unit).stored()

    def sketch(self, frame: Frame) -> Frame:
        return kernels.line_hashes(frame["text"], self.unit == "paragraph", self.normalise, self.min_characters)

    def fit(self, corpus: Corpus, folder: str) -> CutListed:
        counted = corpus.map("counting lines", _count, [(corpus.alive, parts) for parts in corpus.groups()])
        counts = [count for group in counted for count in group]
        groups = replace(corpus, rows=tuple(counts)).groups()
        cuts = ByPart.over(corpus, "cuts", groups)
        if self.scope == "corpus":
            dealt = corpus.exchange("lines", sum(counts))
            corpus.map("dealing lines", _deal, [_Deal(corpus.alive, parts, dealt) for parts in groups])
            decide = [_Decide(self, dealt, number, cuts) for number in range(dealt.ranges)]
            corpus.map("matching lines", _decide, decide)
        tasks = [_Publish(self, corpus.alive, parts, cuts.dealt, number, folder) for number, parts in enumerate(groups)]
        corpus.map("listing cuts", _publish, tasks)
        return CutListed(folder, self.unit, self.max_cut)


@dataclass(frozen=True)
class ParagraphDedup(LineDedup):
    """Cut paragraphs that are repeated: runs of lines with text, with the blank lines after them.

    All else is as LineDedup does it with lines. Line breaks inside a paragraph are white space as any
    other, so that one that was wrapped anew is equal.
    """

    min_characters: int = 40  # two short lines; a paragraph below is a heading or a signature

    unit: ClassVar[Literal["line", "paragraph"]] = "paragraph"


@dataclass(frozen=True)
class _Lines:
    """The lines of some parts' documents, in order."""

    ids: np.ndarray  # doc_id uint64 (documents,), ascending
    bounds: np.ndarray  # int64 (documents + 1): lines of each document
    table: pa.Table  # hashes and what else was asked for, a row a line
    first: np.ndarray  # int64 (lines,): the first line of the document that is equal to each

    @staticmethod
    def read(alive: Sketches, parts: tuple[int, ...], *columns: str) -> _Lines:
        """Return the lines of documents still alive."""
        from curator.kernels import lines

        sketched = alive.read_all(parts, "hashes", *columns).combine_chunks()
        counts = pc.list_value_length(sketched["hashes"]).to_numpy()
        bounds = np.append(0, np.cumsum(counts, dtype=np.int64))
        table = pa.table({name: pc.list_flatten(sketched[name]) for name in ("hashes", *columns)}).combine_chunks()
        return _Lines(sketched["doc_id"].to_numpy(), bounds, table, lines.firsts(bounds, table["hashes"].to_numpy()))

    @property
    def documents(self) -> np.ndarray:
        """Return the doc_id of each line, uint64 (lines,)."""
        return np.repeat(self.ids, np.diff(self.bounds))


def _count(task: tuple[Sketches, tuple[int, ...]]) -> list[int]:
    alive, parts = task
    return [pc.sum(pc.list_value_length(alive.read(part, "hashes")["hashes"])).as_py() or 0 for part in parts]


@dataclass(frozen=True)
class _Deal:
    alive: Sketches
    parts: tuple[int, ...]
    dealt: Exchange


def _deal(task: _Deal) -> None:
    """Deal each document's different lines by their hash."""
    lines = _Lines.read(task.alive, task.parts)
    own = np.flatnonzero(lines.first == np.arange(len(lines.first)))
    hashes = lines.table["hashes"].to_numpy()[own]
    place = own - np.repeat(lines.bounds[:-1], np.diff(lines.bounds))[own]
    table = pa.table([hashes, lines.documents[own], place.astype(np.uint32)], schema=FOUND)
    task.dealt.write(f"{task.parts[0]:010d}", table, range_of(hashes, task.dealt.ranges))


@dataclass(frozen=True)
class _Decide:
    stage: LineDedup
    dealt: Exchange
    range: int
    cuts: ByPart


def _decide(task: _Decide) -> None:
    """Decide for the lines of one range which documents lose them."""
    table = task.dealt.read(task.range, FOUND).combine_chunks()
    hashes = table["hash"].to_numpy()
    order = np.argsort(hashes, kind="stable")  # equal hashes stay in order of doc_id
    hashes = hashes[order]
    starts = np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)]
    counts = np.diff(np.append(np.flatnonzero(starts), len(hashes)))
    copies = np.repeat(counts, counts)
    ids = table["doc_id"].to_numpy()[order]
    witness = np.repeat(ids[starts], counts)
    gone = copies > task.stage.max_copies
    if task.stage.keep == "first":
        gone &= ~starts
    columns = [ids[gone], table["line"].to_numpy()[order][gone], witness[gone], copies[gone]]
    task.cuts.add(f"{task.range:010d}", pa.table(columns, schema=DECIDED))


@dataclass(frozen=True)
class _Publish:
    stage: LineDedup
    alive: Sketches
    parts: tuple[int, ...]
    cuts: Exchange
    range: int
    folder: str


def _publish(task: _Publish) -> None:
    """Write the cuts of some parts: what the corpus decided, and repeats within documents."""
    lines = _Lines.read(task.alive, task.parts, "starts", "stops")
    decided = task.cuts.read(task.range, DECIDED).combine_chunks()
    place = lines.bounds[np.searchsorted(lines.ids, decided["doc_id"].to_numpy())] + decided["line"].to_numpy()
    decision = np.full(len(lines.first), -1, np.int64)
    decision[place] = np.arange(len(place))
    decision = decision[lines.first]  # what goes, goes wherever the document repeats it
    cut = np.flatnonzero((decision >= 0) | (lines.first != np.arange(len(lines.first))))
    decision, ids = decision[cut], lines.documents[cut]
    repeats = np.bincount(lines.first, minlength=len(lines.first))[lines.first[cut]]
    witness, copies = ids, repeats
    if len(decided):
        witness = np.where(decision >= 0, decided["witness"].to_numpy()[decision], ids)
        copies = np.where(decision >= 0, decided["copies"].to_numpy()[decision], repeats)
    unkept = (decision >= 0) & (task.stage.keep == "none")
    spans = {name: lines.table[name].to_numpy()[cut].astype(np.int64) for name in ("starts", "stops")}
    columns = [ids, spans["starts"], spans["stops"], pa.array(witness, mask=unkept), copies]
    write_cuts(task.folder, pa.table(columns, schema=arrow_schema(LISTED)))
