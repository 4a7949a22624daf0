"""The ledger: one row for each dropped document, with the evidence.

doc_id       uint64   the document; with id and url, for what outlives the run
stage        string   the stage that dropped it, and its place in the pipeline (stage_index)
reason       string   the first rule that held
value        float64  what was measured, and the threshold it was held against; null where none
value_text   string   what was measured, where it is no number (a language, an error)
witness      uint64   near-duplicates: doc_id of the document that was kept instead at that stage
witness_run  string   the run the witness lies in; empty: this one
similarity   float32  exact Jaccard similarity to the witness
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.schema import arrow_schema
from curator.stage import Column, Frame, Unread

COLUMNS = {
    "doc_id": "uint64",
    "id": "string",
    "url": "string",
    "stage": "string",
    "stage_index": "int16",
    "reason": "string",
    "value": "float64",
    "value_text": "string",
    "threshold": "float64",
    "witness": "uint64",
    "witness_run": "string",
    "similarity": "float32",
}
SCHEMA = arrow_schema(COLUMNS)


def rows(table: pa.Table, said: dict[str, Any]) -> pa.Table:
    """Return ledger rows for documents (`doc_id`, `id`, `url`) with `said` columns, others null."""
    columns = {name: table.column(name) for name in ("doc_id", "id", "url") if name in table.column_names}
    columns |= said
    whole = []
    for name, kind in zip(SCHEMA.names, SCHEMA.types, strict=True):
        value = columns.get(name)
        if isinstance(value, pa.Array | pa.ChunkedArray):
            whole.append(value.cast(kind))
        else:
            whole.append(pa.repeat(pa.scalar(value, kind), len(table)))
    return pa.table(whole, schema=SCHEMA)


def for_rejected(frame: Frame, rejected: dict[str, tuple[Column, dict[str, Any]]], stage: str, index: int) -> pa.Table:
    """Return the rows of one filter: for each reason the mask of its documents and what explains it."""
    tables = [SCHEMA.empty_table()]
    for reason, (mask, explanation) in rejected.items():
        said: dict[str, Any] = {"stage": stage, "stage_index": index, "reason": reason}
        for name, value in explanation.items():
            said[name] = frames.column_to_arrow(value[mask]) if hasattr(value, "index") else value
        documents = [name for name in ("doc_id", "id", "url") if name in frame.columns]
        tables.append(rows(frames.to_arrow(frame.loc[mask, documents]), said))
    return pa.concat_tables(tables)


def for_unread(unread: list[Unread], part: int, stage: str) -> pa.Table:
    """Return the rows of documents that a reader could not read."""
    if not unread:
        return SCHEMA.empty_table()
    table = pa.table(
        {
            "doc_id": pa.array([part << 32 | u.row for u in unread], pa.uint64()),
            "id": pa.array([u.id for u in unread], pa.large_string()),
            "url": pa.array([u.url for u in unread], pa.large_string()),
        }
    )
    said = {
        "stage": stage,
        "stage_index": 0,
        "reason": pa.array([u.reason for u in unread], pa.large_string()),
        "value_text": pa.array([u.detail for u in unread], pa.large_string()),
    }
    return rows(table, said)


def in_order(tables: list[pa.Table]) -> pa.Table:
    """Return the rows of all tables by doc_id. Each document is there once: it is dropped once."""
    whole = pa.concat_tables([SCHEMA.empty_table(), *tables]).combine_chunks()
    ids = whole.column("doc_id").to_numpy()
    if len(ids) and not np.all(ids[:-1] < ids[1:]):
        whole = whole.take(pc.sort_indices(whole.column("doc_id")))
    return whole
