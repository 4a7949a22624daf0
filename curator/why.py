"""Why a document was kept or dropped: its ledger row, the fate of its witness, and how the two differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curator.errors import RunError
from curator.report.worddiff import Run, compare
from curator.run.edits import of_document
from curator.run.folder import RunFolder, part_name
from millrace import storage, tables

INDEX = "index/manifest.json"
SPANS = 5  # named of those that an edit cut


@dataclass(frozen=True)
class Fate:
    """What became of one document. `row` is its ledger row; None: it was kept."""

    folder: RunFolder  # the run it lies in
    document: dict[str, Any]  # doc_id, id, url
    row: dict[str, Any] | None
    chain: list[Fate] = field(default_factory=list)  # its witness, the witness of that, ...


def why(folder: RunFolder, wanted: str) -> list[Fate]:
    """Return the fate of every document with this doc_id, id or URL; raise RunError where there is none.

    A doc_id is answered from its own part; an id or URL by reading those columns of all parts.
    """
    folder.require()
    fates = [_with_chain(fate) for fate in _find(folder, wanted)] if wanted else []
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
        columns = None if kind == "ledger" else ["doc_id", "id", "url"]
        found = _row(url, doc_id, columns)
        if found:
            document = {c: found.get(c) for c in ("doc_id", "id", "url")}
            return Fate(folder, document, found if kind == "ledger" else None)
    return None


def _row(url: str, doc_id: int, columns: list[str] | None) -> dict[str, Any]:
    """Return one document's row of a part's file, empty where it is not in it."""
    wanted = pa.scalar(doc_id, pa.uint64())
    with tables.open_parquet(url) as file:
        for group in range(file.num_row_groups):
            here = pc.equal(file.read_row_group(group, columns=["doc_id"], use_threads=False)["doc_id"], wanted)
            if pc.any(here).as_py():
                known = [c for c in columns if c in file.schema_arrow.names] if columns else None
                table = file.read_row_group(group, columns=known, use_threads=False)
                return dict(table.filter(here).to_pylist()[0])
    return {}


def _with_chain(fate: Fate) -> Fate:
    chain: list[Fate] = []
    at: Fate | None = fate
    while at is not None and at.row is not None and at.row["witness"] is not None:
        folder = run_of(at.folder, at.row["witness_run"])
        at = by_doc_id(folder, at.row["witness"]) if folder else None
        if at is not None:
            chain.append(at)
    return Fate(fate.folder, fate.document, fate.row, chain)


def run_of(folder: RunFolder, uid: str | None) -> RunFolder | None:
    """Return the run with this uid, among those whose indexes a run was held against; None: it is not there.

    No uid is the run itself.
    """
    if not uid:
        return folder
    for settings in (next(iter(stage.values())) for stage in storage.read_json(folder.summary)["pipeline"]):
        for url in settings.get("against", ()):
            root = url if storage.exists(storage.join(url, INDEX)) else url.rstrip("/").rpartition("/")[0]
            place = storage.join(root, INDEX)
            if storage.exists(place) and storage.read_json(place)["run_uid"] == uid:
                return RunFolder(root)
    return None


def texts(fate: Fate) -> tuple[str, str] | None:
    """Return the texts of a removed document and its direct witness as they came to the stage; None where they
    are gone."""
    other = fate.chain[0]
    segments = storage.read_json(fate.folder.summary)["segments"]
    for place in reversed([f"{segment}/documents" for segment in segments]):
        text = _text(fate, place)
        if text is not None:  # the last segment that still had it
            there = place if other.folder == fate.folder else _documents_of_index(other.folder)
            theirs = _text(other, there)
            return None if theirs is None else (text, theirs)
    return None


def _documents_of_index(folder: RunFolder) -> str:
    return str(storage.read_json(folder.path(INDEX))["documents"])


def _text(fate: Fate, place: str) -> str | None:
    url = fate.folder.path(place, part_name(fate.document["doc_id"] >> 32) + ".parquet")
    return _row(url, fate.document["doc_id"], ["doc_id", "text"]).get("text") if storage.exists(url) else None


def say(fate: Fate) -> str:
    """Put a fate in words, a line each; with the difference of a near-duplicate to its witness."""
    lines = [_named(fate), "  " + _said(fate.row)]
    if fate.row is not None and fate.row["witness"] is not None and not fate.chain:
        run = f" of run {fate.row['witness_run']}" if fate.row["witness_run"] else ""
        lines.append(f"  witness {fate.row['witness']}{run}, which is not there any more")
    for step in fate.chain:
        at = f" in {step.folder.url}" if step.folder != fate.folder else ""
        lines += [f"  witness {_named(step)}{at}", "    " + _said(step.row)]
    return "\n".join([*lines, *difference(fate), *cut(fate)])


def cut(fate: Fate) -> list[str]:
    """Say what edits cut out of a document's text, or replaced, a line for each of the first spans."""
    lines = []
    for name, spans in of_document(fate.folder, fate.document["doc_id"]):
        total = sum(span["stops"] - span["starts"] for span in spans)
        lines.append(f"  edited by {name}: {len(spans):,} span{'s' if len(spans) > 1 else ''}, {total:,} bytes")
        for span in spans[:SPANS]:
            more = [f"{kind} {value}" for kind, value in span.items() if kind not in ("starts", "stops") and value]
            lines.append(f"    bytes {span['starts']:,} to {span['stops']:,}" + "".join(f", {said}" for said in more))
        lines += [f"    and {len(spans) - SPANS:,} more"] if len(spans) > SPANS else []
    return lines


def difference(fate: Fate) -> list[str]:
    """Return the words in which a removed document and its direct witness differ, in a few lines."""
    if fate.row is None or not fate.chain:
        return []
    both = texts(fate)
    if both is None:
        return ["  their texts are gone: work/ was cleaned"]
    right, left = compare(*both)
    if not any(run.kind == "only" for run in (*left, *right)):
        return ["  word for word the same"]
    return ["  witness   " + _marked(left), "  document  " + _marked(right)]


def _marked(runs: list[Run]) -> str:
    said = {"same": "{}", "only": "[[{}]]", "gap": "({} more words)"}
    return " ".join(said[r.kind].format(f"{r.count:,}" if r.kind == "gap" else " ".join(r.words)) for r in runs)


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
