"""Why a document was kept or dropped: its ledger row, and the fate of its witness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curator.errors import RunError
from curator.run.folder import RunFolder, part_name
from millrace import storage, tables


@dataclass(frozen=True)
class Fate:
    """What became of one document. `row` is its ledger row; None: it was kept."""

    document: dict[str, Any]  # doc_id, id, url
    row: dict[str, Any] | None
    chain: list[Fate] = field(default_factory=list)  # its witness, the witness of that, ...


def why(folder: RunFolder, wanted: str) -> list[Fate]:
    """Return the fate of every document with this doc_id, id or URL; raise RunError where there is none.

    A doc_id is answered from its own part; an id or URL by reading those columns of all parts.
    """
    folder.require()
    fates = [_with_chain(folder, fate) for fate in _find(folder, wanted)] if wanted else []
    if not fates:
        raise RunError(f"{folder.url} has no document with doc_id, id or URL {wanted}")
    return fates


def _find(folder: RunFolder, wanted: str) -> Iterator[Fate]:
    number = int(wanted) if wanted.isdecimal() and len(wanted) < 20 else -1  # an id may look like a doc_id
    if number >= 0 and (fate := by_doc_id(folder, number)) is not None:
        yield fate
    for kind in ("ledger", "documents"):
        for name in storage.list_folder(folder.path(kind)):
            with tables.open_parquet(folder.path(kind, name)) as file:
                columns = [c for c in ("id", "url") if c in file.schema_arrow.names]
                rows = file.read(columns=["doc_id", *columns], use_threads=False)
                mask = pc.or_(*(pc.equal(rows[c], wanted) for c in columns)) if len(columns) == 2 else None
                mask = pc.equal(rows["id"], wanted) if mask is None else mask
                for doc_id in rows.filter(mask)["doc_id"].to_pylist():
                    fate = by_doc_id(folder, doc_id)
                    assert fate is not None
                    if doc_id != number:
                        yield fate


def by_doc_id(folder: RunFolder, doc_id: int) -> Fate | None:
    """Return the fate of one document of the run, without its chain."""
    name = part_name(doc_id >> 32) + ".parquet"
    for kind in ("ledger", "documents"):
        url = folder.path(kind, name)
        if not storage.exists(url):
            continue
        with tables.open_parquet(url) as file:
            columns = None if kind == "ledger" else [c for c in ("doc_id", "id", "url") if c in file.schema_arrow.names]
            rows = file.read(columns=columns, use_threads=False)
        found = rows.filter(pc.equal(rows["doc_id"], pa.scalar(doc_id, pa.uint64()))).to_pylist()
        if found:
            document = {c: found[0].get(c) for c in ("doc_id", "id", "url")}
            return Fate(document, found[0] if kind == "ledger" else None)
    return None


def _with_chain(folder: RunFolder, fate: Fate) -> Fate:
    chain: list[Fate] = []
    at: Fate | None = fate
    while at is not None and at.row is not None and at.row["witness"] is not None:
        at = by_doc_id(folder, at.row["witness"])
        if at is not None:
            chain.append(at)
    return Fate(fate.document, fate.row, chain)


def say(fate: Fate) -> str:
    """Put a fate in words, a line each."""
    lines = [_named(fate), "  " + _said(fate.row)]
    for step in fate.chain:
        lines.append(f"  witness {_named(step)}")
        lines.append("    " + _said(step.row))
    return "\n".join(lines)


def _named(fate: Fate) -> str:
    return " ".join(str(value) for value in fate.document.values() if value not in (None, ""))


def _said(row: dict[str, Any] | None) -> str:
    if row is None:
        return "kept"
    text = f"dropped by {row['stage']} (stage {row['stage_index']}): {row['reason']}"
    if row["similarity"] is not None:
        text += f", similarity {row['similarity']:.4f}"
    elif row["value"] is not None:
        text += f", value {row['value']:.6g}"
    if row["value_text"]:
        text += f", {row['value_text']}"
    if row["threshold"] is not None:
        text += f", threshold {row['threshold']:.6g}"
    return text
