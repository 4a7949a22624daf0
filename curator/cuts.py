"""Cutting spans out of texts by lists, with the evidence of every span: one small file a part that loses any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.kernels.spans import merged
from curator.rejections import read_list, write_by_part
from curator.run.folder import part_name
from curator.schema import arrow_schema
from curator.stage import Filter, Frame, Rule, at_least, at_most
from millrace import storage

# Offsets are bytes of the text's UTF-8 as the stage found it, start <= byte < stop; the witness is the document
# that holds the same bytes and keeps them (null where none is named); `copies` how often they were found.
LISTED = {"doc_id": "uint64", "start": "int64", "stop": "int64", "witness": "uint64", "copies": "int64"}


@dataclass(frozen=True)
class CutListed(Filter):
    """Cut the listed spans out of texts; reject a text of which too little, or nothing, is left.

    What was cut stays in the run as signals, lists side by side: where each span began and ended, whose
    text it repeats, and how often it was found.
    """

    folder: str
    name: str  # of the stage, in signals: line -> line_cut_starts
    max_cut: float = 1.0  # share of a text's bytes that may be cut
    min_characters: int = 1  # that must be left, white space at the ends not counted

    reads: ClassVar = {"doc_id": "uint64", "text": "string"}
    writes: ClassVar = {"text": "string"}

    @property
    def signals(self) -> dict[str, str]:  # type: ignore[override]
        lists = {
            "cut_starts": "list<int64>",
            "cut_stops": "list<int64>",
            "cut_witnesses": "list<uint64>",
            "cut_copies": "list<int64>",
        }
        return {f"{self.name}_{n}": kind for n, kind in (lists | {"cut_share": "float64", "left": "int64"}).items()}

    @property
    def rules(self) -> tuple[Rule, ...]:  # type: ignore[override]
        return (
            at_least("nothing_left", f"{self.name}_left", "min_characters"),
            at_most("mostly_cut", f"{self.name}_cut_share", "max_cut"),
        )

    def file(self, part: int) -> str:
        """Return the URL of a part's list; it is absent where nothing of the part is cut."""
        return storage.join(self.folder, part_name(part) + ".parquet")

    def measure(self, frame: Frame) -> Frame:
        ids = frames.to_numpy(frame["doc_id"]).astype(np.uint64)
        listed = read_list(self.file(int(ids[0]) >> 32), LISTED) if len(ids) else arrow_schema(LISTED).empty_table()
        first = np.searchsorted(listed["doc_id"].to_numpy(), ids, side="left")
        stop = np.searchsorted(listed["doc_id"].to_numpy(), ids, side="right")
        text = frames.column_to_arrow(frame["text"]).cast(pa.large_string())
        cut = _cut(text, listed, first, stop)
        before, after = (pc.fill_null(pc.binary_length(t), 0).to_numpy(zero_copy_only=False) for t in (text, cut))
        left = pc.utf8_length(pc.utf8_trim_whitespace(cut)).cast(pa.int64())
        rows = np.concatenate([np.arange(a, b) for a, b in zip(first, stop)] or [np.zeros(0, np.int64)]).astype(int)
        offsets = np.concatenate(([0], np.cumsum(stop - first)))
        values: dict[str, Any] = {"text": cut}
        for column, signal in zip(("start", "stop", "witness", "copies"), self.signals, strict=False):
            values[signal] = pa.LargeListArray.from_arrays(
                offsets, listed[column].combine_chunks().take(pa.array(rows))
            )
        values[f"{self.name}_cut_share"] = np.where(before > 0, (before - after) / np.maximum(before, 1), 0.0)
        # only a cut leaves too little: a text that was short before is not this stage's affair
        values[f"{self.name}_left"] = pc.if_else(
            pa.array(stop > first), left, pa.scalar(self.min_characters, pa.int64())
        )
        return frames.like(frame["text"], values)

    def explain(self, signals: Frame, reason: str) -> dict[str, Any]:
        lists = frames.column_to_arrow(signals[f"{self.name}_cut_witnesses"])
        witness = frames.like(signals[f"{self.name}_left"], {"witness": _the_only(lists)})["witness"]
        return {**super().explain(signals, reason), "witness": witness}


def _the_only(lists: pa.Array) -> pa.Array:
    """Return uint64 (rows,): the value that a list consists of, null where it has others, nulls or none."""
    offsets, flat = np.asarray(lists.offsets), pc.fill_null(lists.values, 0).to_numpy()
    starts, stops = offsets[:-1], offsets[1:]
    valid = np.append(0, np.cumsum(lists.values.is_valid().to_numpy(zero_copy_only=False)))
    changes = np.append(0, np.cumsum(np.append(False, flat[1:] != flat[:-1]))) if len(flat) else np.zeros(1, int)
    whole = (stops > starts) & (valid[stops] - valid[starts] == stops - starts)
    same = changes[stops] == changes[np.minimum(starts + 1, stops)]  # no change after its first value
    place = np.where(whole & same, starts, 0)
    return lists.values.take(pa.array(place, mask=~(whole & same)))


def _cut(text: pa.Array, listed: pa.Table, first: np.ndarray, stop: np.ndarray) -> pa.Array:
    """Return the texts without their spans listed[first[i] : stop[i]], which ascend and do not overlap."""
    touched = np.flatnonzero(stop > first)
    if not len(touched):
        return text
    starts, stops = listed["start"].to_numpy(), listed["stop"].to_numpy()
    made = []
    for row in touched.tolist():
        whole, pieces, at = text[row].as_py().encode(), [], 0
        for span in range(first[row], stop[row]):
            pieces.append(whole[at : starts[span]])
            at = int(stops[span])
        made.append(b"".join([*pieces, whole[at:]]).decode())
    mask = np.zeros(len(text), bool)
    mask[touched] = True
    return pc.replace_with_mask(text, pa.array(mask), pa.array(made, pa.large_string()))


def write_cuts(folder: str, table: pa.Table) -> None:
    """Write spans (columns of LISTED, rows in any order) as one list a part, by doc_id and start.

    Spans of a document that overlap become one, with the witness and copies of the first of them; spans that
    touch stay apart, each with its own. start < stop.
    """
    ids, starts, stops = (table[name].to_numpy() for name in ("doc_id", "start", "stop"))
    rows, ends = merged(ids, starts, stops, touching=False)
    table = table.take(pa.array(rows)).select(list(LISTED))
    table = table.set_column(table.schema.get_field_index("stop"), "stop", pa.array(ends))
    write_by_part(folder, table.cast(arrow_schema(LISTED)))
