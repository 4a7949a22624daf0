"""Stages that cut spans out of texts, or put something in their place, and keep what they did as signals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.kernels.arrow import flatten
from curator.schema import arrow_type
from curator.stage import Filter, Frame, Rule, at_least, at_most


@dataclass(frozen=True)
class Spans:
    """Spans of the texts of a batch: bytes from each text's begin, ascending and apart."""

    first: np.ndarray  # int64 (texts + 1): the spans of text i are first[i] to first[i + 1]
    starts: np.ndarray  # int64 (spans)
    stops: np.ndarray  # int64 (spans)
    evidence: Mapping[str, Any] = field(default_factory=dict)  # arrays (spans), by the names of `Edit.evidence`
    told: np.ndarray | None = None  # bool (spans): those to be kept as signals; None: all
    fills: tuple[str, ...] = ("",)  # what may stand in a span's place
    fill: np.ndarray | None = None  # int64 (spans): which of `fills`; None: the first


class Edit(Filter):
    """Cuts or replaces spans of `text`, and rejects a text of which too little is left.

    Subclasses say which spans. What was cut is kept as signals, lists side by side in the order of the text:
    `<name>_cut_starts` and `<name>_cut_stops`, bytes of the UTF-8 that came in, and a list for each `evidence`;
    and `<name>_cut_share` and `<name>_left`, which is null where nothing was cut.
    """

    name: ClassVar[str]  # of the signals: c4 -> c4_cut_starts
    evidence: ClassVar[Mapping[str, str]] = {"kinds": "list<string>"}  # name -> type of the lists: why it was cut
    max_cut: float  # share of a text's bytes that may be cut or replaced
    min_characters: int  # that must be left where something was cut, white space at the ends not counted

    reads: ClassVar = {"text": "string"}
    writes: ClassVar = {"text": "string"}

    @property
    def signals(self) -> dict[str, str]:  # type: ignore[override]
        lists = {"starts": "list<int64>", "stops": "list<int64>", **self.evidence}
        named = {f"{self.name}_cut_{name}": kind for name, kind in lists.items()}
        return named | {f"{self.name}_cut_share": "float64", f"{self.name}_left": "int64"}

    @property
    def rules(self) -> tuple[Rule, ...]:  # type: ignore[override]
        return (
            at_least("nothing_left", f"{self.name}_left", "min_characters"),
            at_most("mostly_cut", f"{self.name}_cut_share", "max_cut"),
        )

    def spans(self, frame: Frame) -> Spans:
        """Return the spans to cut out of the texts of a batch. A missing text has none."""
        raise NotImplementedError

    def measure(self, frame: Frame) -> Frame:
        return self.apply(frame, self.spans(frame))

    def apply(self, frame: Frame, spans: Spans) -> Frame:
        """Return `text` without the spans, and the signals of what was done."""
        text = frames.column_to_arrow(frame["text"]).cast(pa.large_string())
        cut = _edited(text, spans)
        told = np.ones(len(spans.starts), bool) if spans.told is None else spans.told
        first = np.append(0, np.cumsum(told))[spans.first]
        values: dict[str, Any] = {"text": cut}
        for name, column in {"starts": spans.starts, "stops": spans.stops, **spans.evidence}.items():
            kind = arrow_type(self.signals[f"{self.name}_cut_{name}"]).value_type
            flat = pa.array(column).cast(kind).filter(pa.array(told))
            values[f"{self.name}_cut_{name}"] = pa.LargeListArray.from_arrays(first, flat)
        gone = np.append(0, np.cumsum(np.where(told, spans.stops - spans.starts, 0)))[spans.first]
        before = pc.fill_null(pc.binary_length(text), 0).to_numpy(zero_copy_only=False)
        values[f"{self.name}_cut_share"] = np.diff(gone) / np.maximum(before, 1)
        # only a cut leaves too little: a text that was short before is not this stage's affair, whatever the limit
        left = pc.utf8_length(pc.utf8_trim_whitespace(cut)).cast(pa.int64())
        values[f"{self.name}_left"] = pc.if_else(pa.array(np.diff(first) > 0), left, None)
        return frames.like(frame["text"], values)


def _edited(text: pa.Array, spans: Spans) -> pa.Array:
    """Return the texts with their spans replaced; null stays null."""
    from curator.kernels.edit import replaced

    if not len(spans.starts):
        return text
    fill = np.zeros(len(spans.starts), np.int64) if spans.fill is None else spans.fill
    offsets, data = replaced(
        *flatten(text), spans.first, spans.starts, spans.stops, fill, *flatten(pa.array(spans.fills, pa.large_string()))
    )
    missing = pa.array(~text.is_valid().to_numpy(zero_copy_only=False)) if text.null_count else None
    edited = pa.LargeStringArray.from_buffers(len(text), pa.py_buffer(offsets), pa.py_buffer(data))
    return edited if missing is None else pc.if_else(missing, None, edited)
