"""Rejecting documents by lists of ids with their evidence, one small file for each part that loses any."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.run.folder import part_name
from curator.schema import arrow_schema
from curator.stage import Column, Filter, Frame
from millrace import storage, tables

LISTED = {
    "doc_id": "uint64",
    "witness": "uint64",
    "similarity": "float64",
    "witness_run": "string",
    "value_text": "string",
}


@dataclass(frozen=True)
class RejectListed(Filter):
    """Reject the documents listed under `folder`, each with its witness and their similarity, or what it holds."""

    folder: str
    reason: str
    threshold: float | None = None
    similar: bool = True  # False: what was measured is no similarity to the witness

    reads: ClassVar = {"doc_id": "uint64"}

    def file(self, part: int) -> str:
        """Return the URL of a part's list; it is absent where the part loses nothing."""
        return storage.join(self.folder, part_name(part) + ".parquet")

    def ids(self, part: int) -> np.ndarray:
        """Return a part's listed doc_ids, uint64 ascending."""
        ids: np.ndarray = read_list(self.file(part), LISTED)["doc_id"].to_numpy()
        return ids

    def measure(self, frame: Frame) -> Frame:
        ids = frames.to_numpy(frame["doc_id"]).astype(np.uint64)
        listed = read_list(self.file(int(ids[0]) >> 32), LISTED) if len(ids) else arrow_schema(LISTED).empty_table()
        named = listed["doc_id"].to_numpy()
        place = np.searchsorted(named, ids)
        found = (place < len(named)) & (np.append(named, np.uint64(0))[np.minimum(place, len(named))] == ids)
        take = pa.array(np.where(found, place, -1), mask=~found)
        return frames.like(
            frame["doc_id"],
            {
                "rejected": found,
                **{name: listed[name].combine_chunks().take(take) for name in LISTED if name != "doc_id"},
            },
        )

    def reject(self, signals: Frame) -> dict[str, Column]:
        return {self.reason: signals["rejected"]}

    def explain(self, signals: Frame, reason: str) -> dict[str, Any]:
        return {
            "value": signals["similarity"].astype("float64"),
            "value_text": signals["value_text"],
            "threshold": self.threshold,
            "witness": signals["witness"],
            "witness_run": signals["witness_run"],
            "similarity": signals["similarity"] if self.similar else None,
        }


def read_list(url: str, columns: dict[str, str]) -> pa.Table:
    """Return a part's list, or an empty one where it loses nothing. The last few are kept in memory."""
    if not storage.exists(url):
        return arrow_schema(columns).empty_table()
    return _read(url, str(tables.checksum(url)))


@functools.lru_cache(maxsize=4)
def _read(url: str, checksum: str) -> pa.Table:
    return tables.read_table(url)


def listed(
    ids: np.ndarray,
    witnesses: np.ndarray | None,
    similarities: np.ndarray,
    runs: pa.Array | None = None,
    texts: pa.Array | None = None,
) -> pa.Table:
    """Return rejected doc_ids (uint64) with witness, similarity (NaN: not known), the run of the witness (null:
    this one), and what they hold, in words. None: null for all."""
    columns = [ids, witnesses, similarities.astype(np.float64), runs, texts]
    schema = arrow_schema(LISTED)
    whole = [pa.nulls(len(ids)) if c is None else pa.array(c, from_pandas=True) for c in columns]
    return pa.table([c.cast(kind) for c, kind in zip(whole, schema.types, strict=True)], schema=schema)


def write_lists(folder: str, table: pa.Table) -> None:
    """Write what `listed` gave, rows in any order, as one list a part, by doc_id."""
    write_by_part(folder, table.take(pc.sort_indices(table["doc_id"])))


def write_by_part(folder: str, table: pa.Table) -> None:
    """Write rows, which ascend by doc_id, as one file a part."""
    parts, starts = np.unique(table["doc_id"].to_numpy() >> np.uint64(32), return_index=True)
    bounds = np.append(starts, len(table))
    for part, start, stop in zip(parts.tolist(), bounds, bounds[1:]):
        tables.write_table(storage.join(folder, part_name(part) + ".parquet"), table.slice(start, stop - start))
