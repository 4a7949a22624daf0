"""Take batches through the stages of a segment: map, measure, decide, and keep the evidence."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames, kernels, ledger
from curator.pipeline import grouped
from curator.schema import arrow_type
from curator.stage import CHARACTERS, Column, Filter, Frame, Mapper, Stage

EXAMPLES = 3  # documents a reason and part that the report may show
EXCERPT = 600  # characters of each


@dataclass
class StageCount:
    """What one stage did to one part. Characters are those of `text` (or `html` before there is text)."""

    stage: str
    index: int
    documents_in: int = 0
    documents_out: int = 0
    characters_in: int = 0
    characters_out: int = 0
    seconds: float = 0.0
    rejected: dict[str, int] = field(default_factory=dict)


@dataclass
class Outcome:
    """One batch after the last stage."""

    characters: int  # of its documents before the first stage
    frame: Frame
    dropped: pa.Table  # ledger rows, by doc_id
    signals: pa.Table  # doc_id and every signal measured in this segment, null where it was not
    examples: list[dict[str, Any]]


class Steps:
    """The stages of a segment, ready to be applied to batch after batch of one part.

    `names` are the stages' names in the pipeline: what a corpus stage returned works under its name.
    """

    def __init__(self, stages: list[tuple[int, Stage]], names: dict[int, str]):
        self.groups = grouped(stages)
        self.names = names
        self.counts = {index: StageCount(names[index], index) for index, _ in stages}
        self._shown: Counter[tuple[int, str]] = Counter()
        self.signal_types = {
            name: arrow_type(kind) for _, s in stages if isinstance(s, Filter) for name, kind in s.stored().items()
        }
        if self.signal_types:
            self.signal_types = {CHARACTERS: arrow_type("int64"), **self.signal_types}

    def apply(self, frame: Frame) -> Outcome:
        """Take one batch through all stages. The frame's index counts its rows from 0."""
        height = len(frame)
        dropped: list[pa.Table] = []
        measured: dict[str, pa.Array] = {}
        ids = frames.column_to_arrow(frame["doc_id"])
        lengths = _lengths(frame)
        outcome = Outcome(int(lengths.sum()), frame, ledger.SCHEMA.empty_table(), pa.table({}), [])
        for group in self.groups:
            if isinstance(group[0][1], Filter):
                frame, lengths = self._filter(group, frame, lengths, height, dropped, measured, outcome.examples)
            else:
                (index, stage) = group[0]
                assert isinstance(stage, Mapper), stage
                with self._timed(index, frame, lengths) as count:
                    frame = stage.map(frame)
                    lengths = _lengths(frame) if "text" in stage.writes else lengths
                    frame = frame.drop(columns=list(stage.drops)) if stage.drops else frame
                    count(frame, lengths)
        outcome.frame = frame
        outcome.dropped = ledger.in_order(dropped)
        if self.signal_types:
            measured.setdefault(CHARACTERS, pa.nulls(height, self.signal_types[CHARACTERS]))
            outcome.signals = pa.table({"doc_id": ids, **{n: measured[n] for n in self.signal_types}})
        return outcome

    def _filter(
        self,
        group: list[tuple[int, Stage]],
        frame: Frame,
        lengths: np.ndarray,
        height: int,
        dropped: list[pa.Table],
        measured: dict[str, pa.Array],
        examples: list[dict[str, Any]],
    ) -> tuple[Frame, np.ndarray]:
        """Measure the whole group first, then let its filters decide in order."""
        filters = [(index, stage) for index, stage in group if isinstance(stage, Filter)]
        signals = self._measure(filters, frame)
        rows = frames.to_numpy(frame.index.to_series()) if len(frame) else np.zeros(0, np.int64)
        if CHARACTERS not in measured and "text" in frame.columns and any(stage.stored() for _, stage in filters):
            measured[CHARACTERS] = _laid_out(pa.array(lengths, pa.int64()), rows, height)
        for index, stage in filters:
            own = signals[index]
            for name, kind in stage.stored().items():
                if name not in measured:
                    measured[name] = _spread(own[name], rows, height, arrow_type(kind))
            with self._timed(index, frame, lengths) as count:
                if stage.writes:
                    wrote = {column: own[column].loc[frame.index] for column in stage.writes}
                    frame = frame.assign(**wrote)
                    lengths = _lengths(frame) if "text" in stage.writes else lengths
                own = own.loc[frame.index]
                rejected = first_reasons(stage.reject(own))
                explained = {r: (mask, stage.explain(own, r)) for r, mask in rejected.items() if mask.any()}
                dropped.append(ledger.for_rejected(frame, explained, self.names[index], index))
                for reason, (mask, _) in explained.items():
                    count_of = self.counts[index].rejected
                    count_of[reason] = count_of.get(reason, 0) + int(mask.sum())
                    self._show(examples, index, reason, frame, mask, dropped[-1])
                kept = ~_any(rejected, frame)
                frame, lengths = frame[kept], lengths[frames.to_numpy(kept)]
                frame = frame.drop(columns=list(stage.drops)) if stage.drops else frame
                count(frame, lengths)
        return frame, lengths

    def _measure(self, filters: list[tuple[int, Filter]], frame: Frame) -> dict[int, Frame]:
        """Measure every filter, those that share a pass in one call."""
        signals: dict[int, Frame] = {}
        for shared, members in itertools.groupby(filters, key=lambda numbered: numbered[1].shared_pass):
            each = list(members)
            began = time.perf_counter()
            if shared is None:
                for index, stage in each:
                    signals[index] = stage.measure(frame)
            else:
                names = tuple(dict.fromkeys(name for _, stage in each for name in stage.signals))
                whole = shared.measure(frame["text"], names)
                signals |= {index: whole[list(stage.signals)] for index, stage in each}
            for index, _ in each:
                self.counts[index].seconds += (time.perf_counter() - began) / len(each)
        return signals

    def _show(
        self,
        examples: list[dict[str, Any]],
        index: int,
        reason: str,
        frame: Frame,
        mask: Column,
        rows: pa.Table,
    ) -> None:
        """Keep the first few documents of each reason, with an excerpt, for the report."""
        wanted = EXAMPLES - self._shown[index, reason]
        if wanted <= 0:
            return
        few = frames.to_arrow(frame[mask].head(wanted))
        evidence = {row["doc_id"]: row for row in rows.filter(pc.is_in(rows["doc_id"], few["doc_id"])).to_pylist()}
        self._shown[index, reason] += len(few)
        column = "text" if "text" in few.column_names else "html"
        texts = pc.utf8_slice_codeunits(few[column], 0, EXCERPT).to_pylist()
        for number, text in zip(few["doc_id"].to_pylist(), texts, strict=True):
            examples.append({**evidence[number], "excerpt": text or ""})

    def _timed(self, index: int, frame: Frame, lengths: np.ndarray) -> _Counting:
        return _Counting(self.counts[index], len(frame), int(lengths.sum()))


class _Counting:
    """Count a stage's documents and characters in and out, and its seconds."""

    def __init__(self, count: StageCount, documents: int, characters: int):
        self.count = count
        count.documents_in += documents
        count.characters_in += characters

    def __enter__(self) -> Callable[[Frame, np.ndarray], None]:
        self.began = time.perf_counter()
        return self._out

    def _out(self, frame: Frame, lengths: np.ndarray) -> None:
        self.count.documents_out += len(frame)
        self.count.characters_out += int(lengths.sum())

    def __exit__(self, *error: object) -> None:
        self.count.seconds += time.perf_counter() - self.began


def first_reasons(rejections: dict[str, Column]) -> dict[str, Column]:
    """Return the masks with each document under its first reason only. Null masks reject nothing."""
    taken, first = None, {}
    for reason, mask in rejections.items():
        mask = mask.fillna(False).astype("bool")
        first[reason] = mask if taken is None else mask & ~taken
        taken = mask if taken is None else taken | mask
    return first


def _any(rejected: dict[str, Column], frame: Frame) -> Column:
    masks: Iterator[Column] = iter(rejected.values())
    whole = next(masks, None)
    if whole is None:
        return frame["doc_id"] != frame["doc_id"]
    for mask in masks:
        whole = whole | mask
    return whole


def _lengths(frame: Frame) -> np.ndarray:
    column = "text" if "text" in frame.columns else "html" if "html" in frame.columns else None
    if column is None:
        return np.zeros(len(frame), np.int64)
    return frames.to_numpy(kernels.text_length(frame[column])["characters"])


def _spread(column: Column, rows: np.ndarray, height: int, kind: pa.DataType) -> pa.Array:
    """Lay a column measured for some `rows` of a batch out over all its rows, null elsewhere."""
    return _laid_out(frames.column_to_arrow(column).cast(kind), rows, height)


def _laid_out(values: pa.Array, rows: np.ndarray, height: int) -> pa.Array:
    if len(rows) == height:
        return values
    place = np.full(height, -1, np.int64)
    place[rows] = np.arange(len(rows))
    return values.take(pa.array(place, mask=place < 0))
