"""Repeated substrings: what stands earlier in the corpus is cut out, or its documents dropped."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import kernels
from curator.cuts import LISTED, CutListed, write_cuts
from curator.dedup.by_part import ByPart
from curator.errors import SpecError
from curator.kernels.arrow import buffers
from curator.rejections import RejectListed, listed, write_lists
from curator.run.corpus import Corpus, Reread, Sketches, reread
from curator.run.exchange import Exchange, range_of
from curator.schema import arrow_schema
from curator.stage import CorpusStage, Frame

RUN = arrow_schema({"doc_id": "uint64", "start": "int64", "windows": "uint32", "print": "uint64", "hash": "uint64"})
OPEN = arrow_schema({"doc_id": "uint64", "start": "int64", "windows": "uint32", "print": "uint64", "members": "int64"})
WINDOW = arrow_schema({"doc_id": "uint64", "start": "int64", "key": "uint64", "print": "uint64", "members": "int64"})
SPAN = arrow_schema(LISTED)
TASK_ROWS = 2_000_000  # of these rows in one task: some 400 MB


@dataclass(frozen=True)
class SubstringDedup(CorpusStage):
    """Cut out every substring of at least `min_bytes` that stands earlier in the corpus.

    The rule: a byte goes if it lies in a window of `min_bytes` bytes that occurs before, in a document of a
    smaller doc_id or earlier in its own; of two occurrences that overlap (a text that repeats itself at a
    distance below `min_bytes`) the earlier one stays whole. So the first occurrence of every window stays, but
    for pieces of it that are in turn windows that stand earlier still. Lee et al. (ACL 2022) strike the first
    occurrence too. A span's witness is an earlier document that holds what the span begins with, `copies` how
    often that occurs. Spans are shrunk to whole code points. Nothing is missed (curator/kernels/substrings.py).

    With `min_words`, windows are so many words (`\\w+`), each with what follows it up to the next one, compared
    byte by byte; `min_bytes` then says nothing.

    `action="drop"` leaves texts as they are and drops documents of which more than `max_cut` would be cut, with
    the earlier document that shares the longest piece as witness and the share as value. That document may be
    dropped itself; what only the two of them hold then goes with both. Cutting loses nothing that way, unless
    `max_cut` is set.

    Moves hashes only, never text: 36 bytes a run of windows, 1.9 of which lie in 100 bytes of text (0.7 bytes a
    byte); 40 bytes a window of the runs left open, which are more where more is nearly repeated (1.2 bytes a
    byte in 20 MB of web text, 3.4 in 240 MB with many near-copies); 40 bytes a span found. A task holds about 2
    million such rows, or what has to be reread of one part. Only rows of one print, or equal windows, cannot be
    told apart: a phrase that occurs a billion times takes 40 GB in one task.
    """

    min_bytes: int = 200  # 50 tokens, the length of Lee et al.
    min_words: int = 0  # count words instead; 0: bytes
    action: Literal["cut", "drop"] = "cut"
    max_cut: float = 1.0  # share of a document's bytes; a document that would lose more goes
    min_characters: int = 1  # that must be left of a document that was cut, white space at the ends not counted

    reads: ClassVar = {"doc_id": "uint64", "text": "string"}
    sketches: ClassVar = {
        "starts": "list<int64>",
        "windows": "list<uint32>",
        "prints": "list<uint64>",
        "hashes": "list<uint64>",
    }
    sketch_fields: ClassVar = ("min_bytes", "min_words")

    def __post_init__(self) -> None:
        for name, least in (("min_bytes", 8), ("min_words", 0), ("min_characters", 0)):
            if getattr(self, name) < least:
                raise SpecError(f"SubstringDedup.{name} is {getattr(self, name)}; it must be at least {least}")
        if self.action not in ("cut", "drop"):
            raise SpecError(f"SubstringDedup.action is {self.action!r}; it must be cut or drop")
        if not 0 <= self.max_cut <= 1:
            raise SpecError(f"SubstringDedup.max_cut is {self.max_cut}; it must be from 0 to 1")
        if self.action == "drop" and self.max_cut == 1:
            raise SpecError("SubstringDedup.max_cut is 1.0, so that action: drop drops nothing; it must be below 1")

    @property
    def writes(self) -> dict[str, str]:  # type: ignore[override]
        return {"text": "string"} if self.action == "cut" else {}

    def stored(self) -> dict[str, str]:
        return CutListed("", "substring").stored() if self.action == "cut" else {}

    @property
    def length(self) -> int:
        """Units of a window."""
        return self.min_words or self.min_bytes

    def sketch(self, frame: Frame) -> Frame:
        return kernels.winnowed(frame["text"], self.length, self.min_words > 0)

    def fit(self, corpus: Corpus, folder: str) -> CutListed | RejectListed:
        counts = corpus.map("counting runs", _count, [(corpus.alive, part) for part in corpus.parts])
        groups = replace(corpus, rows=tuple(counts)).groups(TASK_ROWS)
        runs = corpus.exchange("runs", sum(counts), TASK_ROWS)
        opened, found = (ByPart.over(corpus, name, groups) for name in ("open", "found"))
        corpus.map("dealing runs", _deal, [(corpus.alive, part, runs) for part in corpus.parts])
        tasks = [_Match(number, runs, self.length, found, opened) for number in range(runs.ranges)]
        left = corpus.map("matching runs", _match_runs, tasks)
        windows = corpus.exchange("windows", sum(left), TASK_ROWS)
        works = [_Group(self, corpus.alive, number, parts) for number, parts in enumerate(groups)]
        corpus.map("hashing windows", _hash_windows, [(group, opened.dealt, windows) for group in works])
        tasks = [_Match(number, windows, self.length, found, opened) for number in range(windows.ranges)]
        corpus.map("matching windows", _match_windows, tasks)
        corpus.map("listing spans", _list_spans, [(group, found.dealt, folder) for group in works])
        if self.action == "drop":
            return RejectListed(folder, "repeated_substrings", self.max_cut, similar=False)
        return CutListed(folder, "substring", self.max_cut, self.min_characters)


def _count(task: tuple[Sketches, int]) -> int:
    """Return the runs of a part."""
    alive, part = task
    return sum(len(chunk.flatten()) for chunk in alive.read(part, "starts")["starts"].chunks)


def _deal(task: tuple[Sketches, int, Exchange]) -> None:
    """Deal a part's runs by their prints."""
    alive, part, dealt = task
    sketch = alive.read(part, "starts", "windows", "prints", "hashes").combine_chunks()
    flat = [pc.list_flatten(sketch[name]) for name in ("starts", "windows", "prints", "hashes")]
    ids = np.repeat(sketch["doc_id"].to_numpy(), pc.list_value_length(sketch["starts"]).to_numpy())
    table = pa.table([pa.array(ids), *flat], schema=RUN)
    dealt.write(f"{part:010d}", table, range_of(table["print"].to_numpy(), dealt.ranges))


@dataclass(frozen=True)
class _Match:
    number: int  # range of `dealt`
    dealt: Exchange
    length: int
    found: ByPart
    opened: ByPart


def _match_runs(task: _Match) -> int:
    """Settle the runs of one range of prints; return the windows that are left open."""
    from curator.kernels import substrings

    table = task.dealt.read(task.number, RUN)
    ids, starts, windows, prints, hashes = (column.to_numpy() for column in table.columns)
    matched = substrings.match_runs(prints, hashes)
    spans = substrings.later_spans(ids, starts, windows.astype(np.int64), matched.first, matched.members, task.length)
    task.found.add(f"runs-{task.number:010d}", _span_table(spans))
    members = pa.array(matched.members[matched.opened])
    left = table.drop_columns("hash").filter(pa.array(matched.opened)).append_column("members", members)
    task.opened.add(f"{task.number:010d}", left)
    return int(windows[matched.opened].sum())


@dataclass(frozen=True)
class _Group:
    """The parts of one range on the way back."""

    stage: SubstringDedup
    alive: Sketches
    number: int
    parts: tuple[int, ...]

    def split(self, table: pa.Table) -> Iterator[tuple[int, pa.Table, np.ndarray, Texts]]:
        """Yield (part, its rows of `table`, the document of each, the documents' texts), in order."""
        table = table.sort_by([("doc_id", "ascending"), ("start", "ascending")])
        rows = table["doc_id"].to_numpy()
        bounds = np.searchsorted(rows, np.array([*self.parts, self.parts[-1] + 1], np.uint64) << np.uint64(32))
        for part, start, stop in zip(self.parts, bounds, bounds[1:]):
            if stop > start:
                ids, documents = np.unique(rows[start:stop], return_inverse=True)
                look = functools.partial(Texts.of, words=self.stage.min_words > 0)
                texts = reread(Reread(self.alive.document_file(part), ids, ("text",), "cpu", look))
                yield part, table.slice(start, stop - start), documents, texts


@dataclass(frozen=True)
class Texts:
    """Documents as units, and where these lie in the bytes."""

    offsets: np.ndarray  # int64 (documents + 1), into data
    data: np.ndarray  # uint8
    bounds: np.ndarray  # int64 (documents + 1), into units
    units: np.ndarray  # uint8 or uint64
    places: np.ndarray | None  # int64 (units): byte of its text at which a word starts; None: units are bytes

    @staticmethod
    def of(frame: Frame, words: bool) -> Texts:
        """Take the column `text` apart."""
        from curator.kernels.word_units import word_units

        offsets, data = buffers(frame["text"])
        return Texts(offsets, data, *(word_units(offsets, data) if words else (offsets, data, None)))

    def bytes_of(self, documents: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return spans of units as bytes of their texts, shrunk to whole code points."""
        if self.places is None:
            from curator.kernels.substrings import whole_code_points

            return whole_code_points(self.offsets, self.data, documents, starts, stops)
        sizes = np.diff(self.offsets)[documents]
        first, end = self.bounds[documents], np.diff(self.bounds)[documents]
        after = np.append(self.places, 0)[np.minimum(first + stops, len(self.places))]
        return self.places[first + starts], np.where(stops < end, after, sizes)


def _hash_windows(task: tuple[_Group, Exchange, Exchange]) -> None:
    """Deal the hashes of the windows of open runs."""
    from curator.kernels.substrings import each_window
    from curator.kernels.winnow import hash_windows

    group, opened, dealt = task
    for part, table, documents, texts in group.split(opened.read(group.number, OPEN)):
        ids, starts, windows, prints, members = (column.to_numpy() for column in table.columns)
        windows = windows.astype(np.int64)
        batch = (np.cumsum(windows) - windows) // TASK_ROWS  # a table at a time, for all of a part may be open
        for number in range(int(batch[-1]) + 1):
            rows = batch == number
            each = [np.repeat(column[rows], windows[rows]) for column in (ids, prints, members)]
            keys = hash_windows(
                texts.units, texts.bounds[documents[rows]] + starts[rows], windows[rows], group.stage.length
            )
            table = pa.table([each[0], each_window(starts[rows], windows[rows]), keys, each[1], each[2]], schema=WINDOW)
            dealt.write(f"{part:010d}-{number:010d}", table, range_of(keys << np.uint64(3), dealt.ranges))


def _match_windows(task: _Match) -> None:
    """Find the windows of one range of hashes that stand earlier."""
    from curator.kernels import substrings

    ids, starts, keys, prints, members = (column.to_numpy() for column in task.dealt.read(task.number, WINDOW).columns)
    first, copies = substrings.match(keys, prints, members)
    spans = substrings.later_spans(ids, starts, np.ones_like(starts), first, copies, task.length)
    task.found.add(f"windows-{task.number:010d}", _span_table(spans))


def _span_table(spans: Any) -> pa.Table:
    return pa.table([pa.array(column) for column in spans], schema=SPAN)


def _list_spans(task: tuple[_Group, Exchange, str]) -> None:
    """Write what is cut of each part, or who is dropped."""
    from curator.kernels import substrings

    group, found, folder = task
    spans = substrings.joined(substrings.Spans(*(c.to_numpy() for c in found.read(group.number, SPAN).columns)))
    for _, table, documents, texts in group.split(_span_table(spans)):
        starts, stops = texts.bytes_of(documents, *(table[name].to_numpy() for name in ("start", "stop")))
        if group.stage.action == "cut":
            for name, values in (("start", starts), ("stop", stops)):
                table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
            write_cuts(folder, table.filter(pa.array(starts < stops)))
        else:
            lost = np.bincount(documents, stops - starts) / np.diff(texts.offsets)
            longest = np.lexsort((starts, starts - stops, documents))  # of each document, the longest span first
            _, at = np.unique(documents[longest], return_index=True)
            rows = longest[at][lost > group.stage.max_cut]
            ids, witnesses = (table[name].to_numpy()[rows] for name in ("doc_id", "witness"))
            write_lists(folder, listed(ids, witnesses, lost[lost > group.stage.max_cut]))
