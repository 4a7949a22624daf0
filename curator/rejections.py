"""Rejecting documents by lists of ids with their evidence, one small file for each part that loses any."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from curator import frames
from curator.run.folder import part_name
from curator.schema import arrow_schema
from curator.stage import Column, Filter, Frame
from millrace import storage, tables

LISTED = {"doc_id": "uint64", "witness": "uint64", "similarity": "float32"}


@dataclass(frozen=True)
class RejectListed(Filter):
    """Reject the documents listed under `folder`, each with its witness and their similarity."""

    folder: str
    reason: str
    threshold: float | None = None

    reads: ClassVar = {"doc_id": "uint64"}

    def file(self, part: int) -> str:
        """Return the URL of a part's list; it is absent where the part loses nothing."""
        return storage.join(self.folder, part_name(part) + ".parquet")

    def all_ids(self) -> np.ndarray:
        """Return every listed doc_id, ascending."""
        names = [n for n in storage.list_folder(self.folder) if n.startswith("part-")]
        ids = [tables.read_table(storage.join(self.folder, n), ["doc_id"])["doc_id"].to_numpy() for n in names]
        return np.sort(np.concatenate(ids)) if ids else np.zeros(0, np.uint64)

    def measure(self, frame: Frame) -> Frame:
        ids = frames.to_numpy(frame["doc_id"]).astype(np.uint64)
        listed = _listed(self.file(int(ids[0]) >> 32)) if len(ids) else arrow_schema(LISTED).empty_table()
        named = listed["doc_id"].to_numpy()
        place = np.searchsorted(named, ids)
        found = (place < len(named)) & (np.append(named, np.uint64(0))[np.minimum(place, len(named))] == ids)
        take = pa.array(np.where(found, place, -1), mask=~found)
        return frames.like(
            frame["doc_id"],
            {
                "rejected": found,
                "witness": listed["witness"].combine_chunks().take(take).fill_null(0),
                "similarity": listed["similarity"].combine_chunks().take(take),
            },
        )

    def reject(self, signals: Frame) -> dict[str, Column]:
        return {self.reason: signals["rejected"]}

    def explain(self, signals: Frame, reason: str) -> dict[str, Any]:
        return {
            "value": signals["similarity"].astype("float64"),
            "threshold": self.threshold,
            "witness": signals["witness"],
            "similarity": signals["similarity"],
        }


@functools.lru_cache(maxsize=4)
def _read_list(url: str, stamp: str) -> pa.Table:
    return tables.read_table(url)


def _listed(url: str) -> pa.Table:
    if not storage.exists(url):
        return arrow_schema(LISTED).empty_table()
    return _read_list(url, str(tables.checksum(url)))


def write_lists(folder: str, ids: np.ndarray, witnesses: np.ndarray, similarities: np.ndarray) -> None:
    """Write the rejected doc_ids (uint64, any order) with witness and similarity as one list a part."""
    order = np.argsort(ids)
    ids, witnesses, similarities = ids[order], witnesses[order], similarities[order]
    parts, starts = np.unique(ids >> np.uint64(32), return_index=True)
    bounds = np.append(starts, len(ids))
    for part, start, stop in zip(parts.tolist(), bounds, bounds[1:]):
        columns = {
            "doc_id": ids[start:stop],
            "witness": witnesses[start:stop],
            "similarity": similarities[start:stop].astype(np.float32),
        }
        table = pa.table(columns, schema=arrow_schema(LISTED))
        tables.write_table(storage.join(folder, part_name(part) + ".parquet"), table)
