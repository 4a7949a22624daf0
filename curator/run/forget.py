"""Documents that a run must forget: as if they had never been read, but for a ledger row that says so.

`forgotten.json` of the run holds their ids for good, so that no later run into the folder reads them again. A
part that held one is run anew from its input; its files, checkpoints and index are written over, tokens are packed
anew, and whatever the document was a witness for is decided again. So the folder is that of a run over the input
without it: a near-copy that it had displaced may be kept now, and must be named too if it is to go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.errors import InputError
from curator.run.folder import RunFolder
from curator.stage import Batch, Unread
from millrace import storage, tables

REASON = "forgotten"
FILE = "forgotten.json"
Forgotten = dict[str, list[int]]  # id -> the parts that held it when it was named


def read_ids(url: str) -> list[str]:
    """Return the ids of a file, one a line; raise InputError where it holds none or is no text."""
    try:
        ids = [line.rstrip("\r") for line in storage.read_bytes(url).decode().split("\n")]
    except UnicodeDecodeError:
        raise InputError(f"{url} is not UTF-8 text; it must name documents to forget, one id a line") from None
    if not any(line.strip() for line in ids):
        raise InputError(f"{url} is empty; it must name documents to forget, one id a line")
    return [line for line in ids if line.strip()]


def remember(folder: RunFolder, ids: Collection[str], say: Callable[[str], None]) -> Forgotten:
    """Add ids to those the run must forget; return all of them.

    Reads the ids of every part, published or not, for those of which it is not known yet who holds them.
    """
    url = folder.path(FILE)
    before: Forgotten = storage.read_json(url) if storage.exists(url) else {}
    known = before | {name: [] for name in ids if name not in before}
    if unplaced := sorted(name for name, parts in known.items() if not parts):
        known |= _parts_of(folder, unplaced)
    if known != before:
        storage.write_json(url, dict(sorted(known.items())))
    if missing := [name for name in ids if not known[name]]:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        say(f"note: {len(missing)} of the {len(ids)} ids to forget are in no part read so far: {shown}")
    return known


def _parts_of(folder: RunFolder, ids: list[str]) -> Forgotten:
    """Return the parts that hold each id, of those that are held at all."""
    wanted, found = pa.array(ids, pa.large_string()), dict[str, set[int]]()
    segments = [f"work/{name}/" for name in storage.list_folder(folder.work) if name.startswith("segment-")]
    for place in (f"{segment}{kind}" for segment in ("", *segments) for kind in ("documents", "ledger")):
        for name in storage.list_folder(folder.path(place)):
            rows = _ids_in(folder.path(place, name))
            for row in rows.filter(pc.is_in(rows["id"], wanted)).to_pylist():
                if row.get("reason") != REASON:
                    found.setdefault(row["id"], set()).add(row["doc_id"] >> 32)
    return {name: sorted(parts) for name, parts in found.items()}


def _ids_in(url: str) -> pa.Table:
    with tables.open_parquet(url) as file:
        columns = [name for name in ("doc_id", "id", "reason") if name in file.schema_arrow.names]
        return file.read(columns=columns, use_threads=False)


def of_part(forgotten: Forgotten, part: int) -> list[str]:
    """Return the ids that a part held when they were named: what its outcome depends on."""
    return sorted(name for name, parts in forgotten.items() if part in parts)


def without(batches: Iterator[Batch], forgotten: Collection[str]) -> Iterator[Batch]:
    """Yield the batches with forgotten documents among the unread, by id alone."""
    wanted = pa.array(sorted(forgotten), pa.large_string())
    for batch in batches:
        gone = pc.is_in(batch.table["id"], wanted)
        if pc.any(gone).as_py():
            rows = batch.table.filter(gone)
            numbers = (rows["doc_id"].to_numpy() & np.uint64(0xFFFFFFFF)).tolist()
            named = [Unread(row, name, "", REASON) for row, name in zip(numbers, rows["id"].to_pylist(), strict=True)]
            unread = sorted([*batch.unread, *named], key=lambda item: item.row)
            batch = replace(
                batch, table=batch.table.filter(pc.invert(gone)), unread=unread, skipped=Counter(batch.skipped)
            )
        yield batch
