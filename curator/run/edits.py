"""What edits cut out of texts, out of the signals that they left (curator.edit)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.run.folder import RunFolder, part_name
from millrace import storage, tables

STARTS, STOPS, KINDS = "_cut_starts", "_cut_stops", "_cut_kinds"


@dataclass
class Amount:
    """How much was cut."""

    documents: int = 0
    spans: int = 0
    bytes: int = 0


@dataclass
class Cuts:
    """What one edit cut, by its kinds of spans, where it tells them apart."""

    name: str  # of the edit: that of its signals
    measured: int = 0  # documents it looked at
    whole: Amount = field(default_factory=Amount)
    kinds: dict[str, Amount] = field(default_factory=dict)

    def add(self, starts: pa.ChunkedArray, stops: pa.ChunkedArray, kinds: pa.ChunkedArray | None) -> None:
        """Count some documents: lists of spans, a list a document, null where it was not looked at."""
        spans = pa.table(
            {
                "document": pc.list_parent_indices(starts),
                "bytes": pc.subtract(pc.list_flatten(stops), pc.list_flatten(starts)),
            }
        )
        self.measured += len(starts) - starts.null_count
        _add(self.whole, spans)
        if kinds is not None:
            spans = spans.append_column("kind", pc.list_flatten(kinds))
            for kind in pc.unique(spans["kind"]).to_pylist():
                _add(self.kinds.setdefault(kind, Amount()), spans.filter(pc.equal(spans["kind"], kind)))


def _add(amount: Amount, spans: pa.Table) -> None:
    amount.documents += len(np.unique(spans["document"].to_numpy()))
    amount.spans += len(spans)
    amount.bytes += int(pc.sum(spans["bytes"]).as_py() or 0)


def edited(names: list[str]) -> list[str]:
    """Return the names of the edits whose spans are among the columns of signals/."""
    return [name.removesuffix(STARTS) for name in names if name.endswith(STARTS)]


def cuts(folder: RunFolder) -> list[Cuts]:
    """Return what each edit cut in a run, in one pass over its signals, a row group at a time."""
    found: dict[str, Cuts] = {}
    for part in storage.list_folder(folder.path("signals")):
        with tables.open_parquet(folder.path("signals", part)) as file:
            there = file.schema_arrow.names
            for group, name in ((g, n) for g in range(file.num_row_groups) for n in edited(there)):
                columns = [name + ending for ending in (STARTS, STOPS, KINDS) if name + ending in there]
                table = file.read_row_group(group, columns=columns, use_threads=False)
                kinds = table[name + KINDS] if name + KINDS in columns else None
                found.setdefault(name, Cuts(name)).add(table[name + STARTS], table[name + STOPS], kinds)
    return [one for one in found.values() if one.measured]


def of_document(folder: RunFolder, doc_id: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield (edit, its spans in order: start, stop and what else it kept of each) of one document."""
    url = folder.path("signals", part_name(doc_id >> 32) + ".parquet")
    if not storage.exists(url):
        return
    with tables.open_parquet(url) as file:
        names = edited(file.schema_arrow.names)
        columns = [c for c in file.schema_arrow.names if any(c.startswith(f"{name}_cut_") for name in names)]
        if not names:
            return
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["doc_id"], use_threads=False)["doc_id"]
            place = pc.index(ids, pa.scalar(doc_id, pa.uint64())).as_py()
            if place < 0:
                continue
            row = file.read_row_group(group, columns=columns, use_threads=False).slice(place, 1).to_pylist()[0]
            for name in names:
                lists = {c.removeprefix(f"{name}_cut_"): v for c, v in row.items() if c.startswith(f"{name}_cut_")}
                lists = {kind: values for kind, values in lists.items() if isinstance(values, list)}
                spans = [dict(zip(lists, values)) for values in zip(*lists.values(), strict=True)]
                if spans:
                    yield name, spans
            return
