"""Cutting what matches a benchmark out of texts, with what stands around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.edit import Edit, Spans
from curator.rejections import read_list
from curator.run.folder import part_name
from curator.schema import arrow_schema
from curator.stage import Frame, Rule, at_most
from millrace import storage

# A stretch that matches, bytes start <= byte < stop of the text; the item and n-gram it begins with.
LISTED = {"doc_id": "uint64", "start": "int64", "stop": "int64", "item": "string", "ngram": "string"}
ENDS = np.frombuffer(b".!?\n", np.uint8)  # of sentences and lines: where a cut may begin and end


@dataclass(frozen=True)
class CutContaminated(Edit):
    """Cut the listed matches, with `window` characters on each side and on to the nearest end of a sentence."""

    folder: str
    window: int
    min_piece: int
    max_pieces: int | None
    max_cut: float = 1.0
    min_characters: int = 1

    name: ClassVar[str] = "contamination"
    reads: ClassVar = {"doc_id": "uint64", "text": "string"}
    evidence: ClassVar = {"items": "list<string>", "ngrams": "list<string>", "windows": "list<int64>"}

    @property
    def signals(self) -> dict[str, str]:  # type: ignore[override]
        return {**super().signals, "contamination_pieces": "int64"}

    @property
    def rules(self) -> tuple[Rule, ...]:  # type: ignore[override]
        return (at_most("many_pieces", "contamination_pieces", "max_pieces"), *super().rules)

    def file(self, part: int) -> str:
        """Return the URL of a part's list; it is absent where nothing of the part is cut."""
        return storage.join(self.folder, part_name(part) + ".parquet")

    def spans(self, frame: Frame) -> Spans:
        ids = frames.to_numpy(frame["doc_id"]).astype(np.uint64)
        listed = read_list(self.file(int(ids[0]) >> 32), LISTED) if len(ids) else arrow_schema(LISTED).empty_table()
        named, starts, stops = (listed[name].to_numpy() for name in ("doc_id", "start", "stop"))
        low, high = np.searchsorted(named, ids, side="left"), np.searchsorted(named, ids, side="right")
        text = frames.column_to_arrow(frame["text"])
        found = [np.zeros((4, 0), np.int64)]
        counts = np.zeros(len(ids), np.int64)
        for row in np.flatnonzero(high > low):
            data = np.frombuffer(text[int(row)].as_buffer(), np.uint8)
            own = slice(low[row], high[row])
            cut = widened(data, starts[own], stops[own], self.window, self.min_piece)
            cut[2] += low[row]
            counts[row] = cut.shape[1]
            found.append(cut)
        begins, ends, rows, windows = np.concatenate(found, axis=1)
        said = listed.take(pa.array(rows)).combine_chunks()
        evidence = {"items": said["item"].combine_chunks(), "ngrams": said["ngram"].combine_chunks()}
        return Spans(np.append(0, np.cumsum(counts)), begins, ends, {**evidence, "windows": windows})

    def measure(self, frame: Frame) -> Frame:
        """Count beside what every edit does the pieces: one more than the windows that were cut."""
        cut = super().measure(frame)
        windows = frames.column_to_arrow(cut["contamination_cut_windows"])
        total = np.append(0, np.cumsum(windows.values.to_numpy()))
        pieces = frames.like(cut["text"], {"pieces": np.diff(total[np.asarray(windows.offsets)]) + 1})
        return cut.assign(contamination_pieces=pieces["pieces"])

    def explain(self, signals: Frame, reason: str) -> dict[str, Any]:
        """Name the first item and its n-gram beside what was measured."""
        first = [_first(frames.column_to_arrow(signals[f"contamination_cut_{name}"])) for name in ("items", "ngrams")]
        said = pc.binary_join_element_wise(*first, pa.scalar(": ", pa.large_string()))
        return {**super().explain(signals, reason), "value_text": frames.like(signals["text"], {"said": said})["said"]}


def _first(lists: pa.Array) -> pa.Array:
    """Return the first value of each list, null of an empty one."""
    offsets = np.asarray(lists.offsets)
    return lists.values.take(pa.array(offsets[:-1], mask=offsets[:-1] == offsets[1:]))


def widened(text: np.ndarray, starts: np.ndarray, stops: np.ndarray, window: int, min_piece: int) -> np.ndarray:
    """Return what is cut of a text around its matches: int64 (4, cuts), ascending and apart.

    text: uint8, UTF-8; starts, stops: int64 (matches), bytes, ascending and apart. Rows of the result: start and stop
    in bytes, the first match of each cut, and how many windows came together in it. A window goes out to the end of
    a sentence or line, or of the text; windows that meet are one, and a piece between two or before the first or
    after the last that has fewer than `min_piece` characters is cut too.
    """
    characters = np.flatnonzero((text & 0xC0) != 0x80)  # the byte at which each begins
    ends = np.append(np.flatnonzero(np.isin(text, ENDS)) + 1, len(text))
    low = np.searchsorted(characters, starts) - window
    high = np.searchsorted(characters, stops) + window
    at = np.append(characters, len(text))
    begins = np.append(0, ends)[np.searchsorted(ends, at[np.maximum(low, 0)], side="right")]
    begins[low <= 0] = 0
    closes = ends[np.searchsorted(ends, at[np.minimum(high, len(characters))])]
    closes = np.maximum.accumulate(closes)
    apart = np.append(True, begins[1:] > closes[:-1])
    first = np.flatnonzero(apart)
    begins, closes = begins[first], closes[np.append(first[1:], len(starts)) - 1]
    places = np.searchsorted(characters, np.array([np.append(closes, 0), np.append(begins, len(text))]))
    gaps = places[1] - np.roll(places[0], 1)  # characters before each cut, and after the last
    short = gaps < min_piece
    windows = np.arange(len(begins))
    new = windows[np.append(True, ~short[1:-1])]
    last = np.append(new[1:], len(begins)) - 1
    cut = np.array([begins[new], closes[last], first[new], last - new + 1])
    cut[0, 0] = 0 if short[0] else cut[0, 0]
    cut[1, -1] = len(text) if short[-1] else cut[1, -1]
    return cut
