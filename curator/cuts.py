"""Cutting spans out of texts by lists, with the evidence of every span: one small file a part that loses any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.edit import Edit, Spans
from curator.kernels.spans import merged
from curator.rejections import read_list, write_by_part
from curator.run.folder import part_name
from curator.schema import arrow_schema
from curator.stage import Frame
from millrace import storage

# Offsets are bytes of the text's UTF-8 as the stage found it, start <= byte < stop; the witness is the document
# that holds the same bytes and keeps them (null where none is named); `copies` how often they were found.
LISTED = {"doc_id": "uint64", "start": "int64", "stop": "int64", "witness": "uint64", "copies": "int64"}


@dataclass(frozen=True)
class CutListed(Edit):
    """Cut the listed spans out of texts; keep as signals whose text each repeats, and how often it was found."""

    folder: str
    name: str  # type: ignore[misc]  # of the stage, in signals: line -> line_cut_starts
    max_cut: float = 1.0
    min_characters: int = 1

    reads: ClassVar = {"doc_id": "uint64", "text": "string"}
    evidence: ClassVar = {"witnesses": "list<uint64>", "copies": "list<int64>"}

    def file(self, part: int) -> str:
        """Return the URL of a part's list; it is absent where nothing of the part is cut."""
        return storage.join(self.folder, part_name(part) + ".parquet")

    def spans(self, frame: Frame) -> Spans:
        ids = frames.to_numpy(frame["doc_id"]).astype(np.uint64)
        listed = read_list(self.file(int(ids[0]) >> 32), LISTED) if len(ids) else arrow_schema(LISTED).empty_table()
        low = np.searchsorted(listed["doc_id"].to_numpy(), ids, side="left")
        high = np.searchsorted(listed["doc_id"].to_numpy(), ids, side="right")
        rows = np.concatenate([np.zeros(0, np.int64), *(np.arange(a, b) for a, b in zip(low, high))])
        taken = listed.take(pa.array(rows)).combine_chunks()
        evidence = {"witnesses": _one(taken["witness"]), "copies": _one(taken["copies"])}
        first = np.append(0, np.cumsum(high - low))
        return Spans(first, taken["start"].to_numpy(), taken["stop"].to_numpy(), evidence)

    def explain(self, signals: Frame, reason: str) -> dict[str, Any]:
        lists = frames.column_to_arrow(signals[f"{self.name}_cut_witnesses"])
        witness = frames.like(signals[f"{self.name}_left"], {"witness": _the_only(lists)})["witness"]
        return {**super().explain(signals, reason), "witness": witness}


def _one(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)


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
