"""Leave an index of what a deduplication kept, for later runs to be held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from curator.dedup.near.documents import Shelf
from curator.dedup.near.evidence import Shingling, Source
from curator.dedup.near.index import FORMAT, MANIFEST, shingles_name, sketch_name
from curator.rejections import RejectListed
from curator.run.corpus import Corpus, Reread, reread
from curator.schema import arrow_schema
from millrace import storage, tables

BLOCK = 8192  # documents whose shingles are in memory at once


@dataclass(frozen=True)
class _Write:
    source: Source
    shelf: Shelf
    shingling: Shingling | None
    rejecting: RejectListed
    folder: str


def write_index(
    corpus: Corpus, source: Source, shingling: Shingling, rejecting: RejectListed, settings: dict[str, Any], kind: str
) -> None:
    """Write `index/` of the run: a task a part, the manifest last.

    Cost: 8 bytes a band and document, and for fingerprints 1.3 times the text, which is read once more.
    """
    folder = corpus.folder.path("index")
    own = source.documents.shelves[source.documents.first_own :]
    stored = shingling if kind == "fingerprints" else None
    written = corpus.map("indexing", _write, [_Write(source, shelf, stored, rejecting, folder) for shelf in own])
    manifest = {
        "format": FORMAT,
        "run_uid": storage.read_json(corpus.folder.inputs)["run_uid"],
        "settings": settings,
        "evidence": kind,
        "documents": corpus.alive.documents,
        "parts": [{"part": shelf.part, "rows": rows} for shelf, (rows, _) in zip(own, written, strict=True)],
        "files": {name: checksum for _, files in written for name, checksum in files.items()},
    }
    storage.write_json(storage.join(folder, MANIFEST), manifest)


def _write(task: _Write) -> tuple[int, dict[str, Any]]:
    """Write one part of the index; return (documents, checksum of each file)."""
    documents, part = task.source.documents, task.shelf.part
    table = documents.alive.read(part, *task.source.bands, "characters")
    table = table.filter(pa.array(~np.isin(table["doc_id"].to_numpy(), task.rejecting.ids(part))))
    ids = table["doc_id"].to_numpy()
    kinds = {"doc_id": "uint64", "priority": "float64", "characters": "int64"} | dict.fromkeys(
        task.source.bands, "uint64"
    )
    priority = task.source.policy.priorities(documents.alive, part, task.shelf.source, table)
    table = table.append_column("priority", pa.array(priority)).select(list(kinds)).cast(arrow_schema(kinds))
    files = {sketch_name(part): tables.write_table(storage.join(task.folder, sketch_name(part)), table)}
    if task.shingling is not None:
        url, name = documents.alive.document_file(part), shingles_name(part)
        schema = arrow_schema({"doc_id": "uint64", "shingles": "list<uint64>"})
        with tables.writing_table(storage.join(task.folder, name), schema) as writer:
            for start in range(0, len(ids), BLOCK):
                some = ids[start : start + BLOCK]
                sets = reread(Reread(url, some, ("text",), task.source.device, task.shingling.sets))
                writer.write(pa.table([some, sets], schema=schema))
        files[name] = writer.checksum
    return len(ids), files
