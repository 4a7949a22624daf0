"""The ledger and the signals of one part, written beside its documents and joined to those of earlier segments."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curator import ledger
from curator.run.batches import Outcome
from curator.stage import CHARACTERS
from millrace import storage, tables
from millrace.tables import TableWriter


class Evidence:
    """Takes what each batch gives. Files are written under `stack`, and are whole when it closes well.

    Where no segment came before, rows go to disk as they come. Later segments have to be merged with the
    files of the one before: they hold the part's ledger and their own signals (about 600 bytes a document
    with all of Gopher's) until `finish`.
    """

    def __init__(self, stack: ExitStack, places: dict[str, str], before: dict[str, str] | None, types: dict[str, Any]):
        """`places` and `before` give the URL of each kind of file: of this segment, and of the one before."""
        self.stack, self.places, self.before = stack, places, before
        self.schema = pa.schema([("doc_id", pa.uint64()), *types.items()]) if types else None
        self.writers: dict[str, TableWriter] = {}
        self.dropped: list[pa.Table] = []
        self.signals: list[pa.Table] = []

    def add(self, unread: pa.Table, outcome: Outcome) -> None:
        """Take the ledger rows and signals of one batch."""
        self.dropped.append(ledger.in_order([unread, outcome.dropped]))
        if self.schema is not None:
            self.signals.append(outcome.signals.cast(self.schema))
        if self.before is None:
            self._write()

    def finish(self) -> dict[str, TableWriter]:
        """Write what is still held; return the writer of each kind of file."""
        earlier = None
        if self.before is not None:
            self.dropped = [ledger.in_order([tables.read_table(self.before["ledger"]), *self.dropped])]
            if storage.exists(self.before["signals"]):
                earlier = tables.read_table(self.before["signals"])
        if earlier is not None:
            own = pa.concat_tables(self.signals) if self.signals else None
            self.signals = [earlier if own is None else _joined(earlier, own)]
            self.schema = self.signals[0].schema
        self._write()
        return self.writers

    def _write(self) -> None:
        for kind, schema, waiting in (("ledger", ledger.SCHEMA, self.dropped), ("signals", self.schema, self.signals)):
            if schema is None:
                continue
            if kind not in self.writers:
                self.writers[kind] = self.stack.enter_context(tables.writing_table(self.places[kind], schema))
            for table in waiting:
                self.writers[kind].write(table)
            waiting.clear()


def _joined(earlier: pa.Table, own: pa.Table) -> pa.Table:
    """Put a later segment's signals beside the earlier ones; documents dropped in between have nulls."""
    place = pc.index_in(earlier["doc_id"], own["doc_id"])
    for name in own.column_names[1:]:
        column = own[name].take(place)
        if name == CHARACTERS:  # of the first filter: a later one's only where that one met no text
            known = earlier.schema.get_field_index(name)
            earlier = earlier.set_column(known, name, pc.coalesce(earlier[name], column))
        else:
            earlier = earlier.append_column(name, column)
    return earlier
