"""Decide a finished run again, with other settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curator.errors import RunError
from curator.retune.borderline import Borderline, excerpts
from curator.retune.decide import DROPPED, STAYS, UNKNOWN, Decided, checked, decide
from curator.retune.filters import Decider, Filters, changed, changes, of_run
from curator.retune.rows import KEPT, Rows, in_tokens, rows, token_ratio
from curator.retune.tally import Tally
from curator.run.folder import RunFolder, part_name
from curator.schema import arrow_schema
from millrace import storage, tables

OUTPUT = {"doc_id": "uint64", "id": "string", "kept_before": "bool", "kept_after": "bool", "reason": "string"}


@dataclass(frozen=True)
class Retuned:
    """What other settings would make of a run."""

    folder: RunFolder
    run: dict[str, Any]  # run.json
    before: Filters
    after: Filters
    changes: list[tuple[Decider, str, Any, Any]]  # filter, field, value before, value after
    was: Tally
    now: Tally
    newly_kept: int
    newly_dropped: int
    ratio: float | None  # tokens a character, where the run tokenized
    estimate: str  # the corpus stage past which the numbers are an estimate; "": they are exact
    borderline: list[Borderline]
    texts: dict[int, tuple[str, str | None]]  # doc_id -> id and excerpt, of the borderline documents


def retune(folder: RunFolder, settings: list[str], output: str = "") -> Retuned:
    """Decide the run again with `Stage.field=value` settings; write each document's fate to `output` if given.

    `output` is Parquet: doc_id, id, kept_before, kept_after (null: cannot be told without reading text), and the
    reason, `Stage: reason`, of what is dropped; every document of the run that a filter met.

    Memory: a row group of signals, and 20 bytes (with `output` also the ids) for each document of a part.
    Raises SpecError for settings that cannot be retuned, RunError where there is no run or its signals do not
    give its decisions.
    """
    folder.require()
    run = storage.read_json(folder.summary)
    before = of_run(run)
    after = changed(before, run, settings)
    if output and not output.endswith(".parquet"):
        raise RunError(f"--output {output}: the table is Parquet; give a name that ends in .parquet")
    ratio = token_ratio(folder)
    was, now = Tally(len(before.reasons)), Tally(len(after.reasons))
    made = changes(before, after)
    touched = {(decider.index, field) for decider, field, _, _ in made}
    borders = [
        Borderline(reason, number)
        for number, reason in enumerate(after.reasons)
        if reason.rule and (reason.decider.index, reason.rule.limit) in touched
    ]
    kept = dropped = 0
    columns = list(dict.fromkeys([*before.signals, *after.signals]))
    with _writing(folder, after, output) as write:
        for batch in rows(folder, columns):
            old, new = decide(before, batch), decide(after, batch)
            stayed, stays = checked(folder, before, old, batch), new.fate == STAYS
            tokens = in_tokens(batch, ratio or 0.0)
            was.add(old, batch, tokens)
            now.add(new, batch, tokens)
            kept += int((stays & ~stayed).sum())
            dropped += int((stayed & (new.fate == DROPPED)).sum())
            for border in borders:
                border.add(new, batch)
            write(batch, new)
    ids = {doc_id for border in borders for _, doc_id in (*border.passing, *border.falling)}
    return Retuned(
        folder, run, before, after, made, was, now, kept, dropped, ratio,
        _estimate(before, made) if kept or dropped or was.dropped.sum() != now.dropped.sum() else "",
        borders, excerpts(folder, run, ids),
    )  # fmt: skip


def _estimate(before: Filters, made: list[tuple[Decider, str, Any, Any]]) -> str:
    first = min((decider.index for decider, *_ in made), default=len(before.names))
    return next((before.names[index] for index in before.corpus if index > first), "")


@contextlib.contextmanager
def _writing(folder: RunFolder, filters: Filters, output: str) -> Iterator[Any]:
    """Give a function that writes the fates of some documents, in order."""
    if not output:
        yield lambda batch, decided: None
        return
    ids = _Ids(folder)
    reasons = pa.array([reason.said for reason in filters.reasons], pa.large_string())
    names = pa.array(filters.names, pa.large_string())
    with tables.writing_table(output, arrow_schema(OUTPUT)) as writer:

        def write(batch: Rows, decided: Decided) -> None:
            gone = decided.fate == DROPPED
            by_rule = reasons.take(pa.array(decided.first, mask=decided.first < 0))
            by_stage = names.take(pa.array(batch.fell, mask=~gone | (batch.fell == KEPT) | (decided.first >= 0)))
            writer.write(
                pa.table(
                    {
                        "doc_id": pa.array(batch.doc_id),
                        "id": ids.of(batch),
                        "kept_before": pa.array(batch.fell == KEPT),
                        "kept_after": pa.array(decided.fate == STAYS, mask=decided.fate == UNKNOWN),
                        "reason": pa.compute.coalesce(by_rule, by_stage),
                    }
                )
            )

        yield write


class _Ids:
    """The ids of documents, read part after part."""

    def __init__(self, folder: RunFolder):
        self.folder, self.part = folder, -1

    def of(self, batch: Rows) -> pa.ChunkedArray:
        """Return the id of each document."""
        if batch.part != self.part:
            files = [self.folder.path(kind, part_name(batch.part) + ".parquet") for kind in ("ledger", "documents")]
            self.table = pa.concat_tables([tables.read_table(file, ["doc_id", "id"]) for file in files])
            self.part = batch.part
        return self.table["id"].take(pa.compute.index_in(pa.array(batch.doc_id), self.table["doc_id"]))
