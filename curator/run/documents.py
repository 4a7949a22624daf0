"""A few documents of a run, out of its checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from curator.run.folder import RunFolder, part_name
from millrace import storage, tables


def read_documents(folder: RunFolder, place: str, ids: Iterable[int], with_text: set[int]) -> dict[int, dict[str, Any]]:
    """Return {doc_id: its doc_id, id, url, text} out of a segment's checkpoint, a row group at a time."""
    wanted = np.array(sorted(ids), np.uint64)
    found: dict[int, dict[str, Any]] = {}
    for part in sorted({int(i) >> 32 for i in wanted}):
        with tables.open_parquet(storage.join(folder.path(place), "documents", part_name(part) + ".parquet")) as file:
            columns = [c for c in ("doc_id", "id", "url", "text") if c in file.schema_arrow.names]
            for group in range(file.num_row_groups):
                here = np.isin(file.read_row_group(group, columns=["doc_id"])["doc_id"].to_numpy(), wanted)
                if not here.any():
                    continue
                table = file.read_row_group(group, columns=columns, use_threads=False).filter(pa.array(here))
                for row in table.to_pylist():
                    text = row.get("text") if row["doc_id"] in with_text else None  # there may be HTML alone
                    found[row["doc_id"]] = {"id": "", "url": "", **row, "text": text}
    return found
