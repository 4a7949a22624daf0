"""Instruction data as documents: the turns of a record are the text, and the record is kept beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from curator.errors import BadFile
from curator.read import files
from curator.read.jsonl import BOM, ReadJsonl, lines, parsed
from curator.read.parquet import ReadParquet, opened
from curator.stage import Batch, Part, Reader, Unread

MARK = "\u241e"  # the symbol for a record separator: neither a control character nor part of a word
SEPARATOR = f"\n{MARK}\n"  # between the texts of a document
STRUCTURE = {"role", "from", "type", "id", "name", "tool_call_id", "finish_reason"}  # keys whose strings are no text
BLANK = "blank line"
TEXTS = (
    "system", "history", "instruction", "input", "context", "output", "instances", "messages", "conversations",
    "prompt", "completion", "response", "chosen", "rejected", "question", "answer", "problem", "solution",
)  # fmt: skip


class Row(NamedTuple):
    """A record of a file, or the reason why there is none."""

    position: int  # its first byte; of JSON arrays and Parquet its number, from 0
    bytes: int
    record: dict[str, Any]
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class ReadConversations(Reader):
    """Read one document from each record of instruction, preference or task data.

    Files are JSON Lines, plain or .gz, .zst, .bz2, .xz; JSON arrays; Parquet. The text of a document is every string
    in the fields `texts` of its record, however deep (roles and other names are none), in their order, with a line
    that holds only the mark U+241E between them. Column `record` is the record as JSON, in which the n-th text is
    replaced by the mark and n. So stages see what is said, and only that; what they change inside a text, such as
    RedactPii, is changed in the record when it is put together again (`align` does that with a run's `documents/`);
    what they drop is gone with its record. Stages that cut whole lines may cut the marks: such a record is refused
    there.

    Records that have no text in these fields (`missing_text`), hold the mark (`mark_in_text`), or are broken as in
    ReadJsonl go to the ledger. An id is the record's own, else a hash of its file and position.
    """

    path: Any  # a glob, a list of globs, or {source: glob}; any fsspec URL
    texts: tuple[str, ...] = TEXTS
    id: str = "id"
    source: str | None = None
    part_mb: int = 64

    writes = files.COLUMNS | {"record": "string"}

    def splits(self, url: str, size: int) -> list[tuple[int, int] | None]:
        """Cut a file as ReadParquet or ReadJsonl do; a JSON array is one part."""
        if url.endswith(".parquet"):
            return ReadParquet(self.path, part_mb=self.part_mb).splits(url, size)
        cut = ReadJsonl(self.path, part_mb=self.part_mb).splits(url, size)
        if len(cut) > 1:
            with files.opening(url) as stream:
                return [None] if _is_array(stream.peek(64)) else cut  # type: ignore[attr-defined]
        return cut

    def read(self, part: Part, batch_bytes: int) -> Iterator[Batch]:
        """Yield the part's documents. Raises BadFile where the file is empty or damaged."""
        with files.reading():
            batch, size, number = _Batch(self, part), 0, 0
            for row in _rows(part):
                if size and size + row.bytes > batch_bytes:
                    yield batch.finished()
                    batch, size = _Batch(self, part), 0
                size += row.bytes
                if row.reason == BLANK:
                    batch.skipped[BLANK] += 1
                    continue
                batch.add(number, row)
                number += 1
            if size:
                yield batch.finished()


class _Batch:
    """The documents of one batch while it grows."""

    def __init__(self, reader: ReadConversations, part: Part):
        self.reader, self.part = reader, part
        self.rows: list[int] = []
        self.columns: dict[str, list[str]] = {name: [] for name in ("id", "text", "record")}
        self.unread: list[Unread] = []
        self.skipped: Counter[str] = Counter()

    def add(self, number: int, row: Row) -> None:
        """Add the document of a record, or the reason why there is none."""
        given = row.record.get(self.reader.id)
        given = str(given) if isinstance(given, int) and not isinstance(given, bool) else given
        id = given if isinstance(given, str) and given else files.id_of("", self.part.url, row.position)
        reason, detail = row.reason, row.detail
        texts: list[str] = []
        skeleton = {
            name: taken_out(value, texts) if name in self.reader.texts else value for name, value in row.record.items()
        }
        kept = json.dumps(skeleton, ensure_ascii=False, default=str)
        if not reason and not texts:
            reason, detail = "missing_text", f"none in its fields {', '.join(map(str, list(row.record)[:20]))}"
        elif not reason and (any(MARK in text for text in texts) or kept.count(MARK) != len(texts)):
            reason, detail = "mark_in_text", f"it holds U+{ord(MARK):X}, which separates texts"
        if reason:
            self.unread.append(Unread(number, id, "", reason, detail))
            return
        self.rows.append(number)
        for name, value in {"id": id, "text": SEPARATOR.join(texts), "record": kept}.items():
            self.columns[name].append(value)

    def finished(self) -> Batch:
        """Return the batch as Arrow data."""
        columns = {name: files.strings(values) for name, values in self.columns.items()}
        columns["url"] = files.strings([""] * len(self.rows))
        table = files.table(self.part.number, self.part.source, self.rows, columns, self.reader.writes)
        return Batch(table, self.unread, self.skipped)


def taken_out(value: Any, texts: list[str]) -> Any:
    """Return a value with its strings replaced by marks with their numbers; append the strings to `texts`."""
    if isinstance(value, str) and value.strip():
        texts.append(value)
        return f"{MARK}{len(texts) - 1}"
    if isinstance(value, list):
        return [taken_out(one, texts) for one in value]
    if isinstance(value, dict):
        return {name: one if name in STRUCTURE else taken_out(one, texts) for name, one in value.items()}
    return value


def _is_array(head: bytes) -> bool:
    return head.removeprefix(BOM).lstrip()[:1] == b"["


def _rows(part: Part) -> Iterator[Row]:
    """Yield the records of a part."""
    if part.url.endswith(".parquet"):
        yield from _of_parquet(part)
        return
    with files.opening(part.url) as stream:
        if not part.split and _is_array(stream.peek(64)):  # type: ignore[attr-defined]
            yield from _of_array(stream.read())
            return
        for start, line in lines(stream, part.split):
            yield Row(start, len(line), *(parsed(line) if line.strip() else ({}, BLANK)))


def _of_array(content: bytes) -> Iterator[Row]:
    try:
        values = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadFile(f"no JSON array, though it begins with [: {' '.join(str(error).split())}") from None
    for number, value in enumerate(values):
        size = len(content) // len(values)
        if isinstance(value, dict):
            yield Row(number, size, files.without_surrogates(value))
        else:
            yield Row(number, size, {}, "broken_json", f"expected an object, not {type(value).__name__}")


def _of_parquet(part: Part) -> Iterator[Row]:
    with opened(part.url) as file:
        start, stop = part.split or (0, file.num_row_groups)
        before = sum(file.metadata.row_group(n).num_rows for n in range(start))
        for batch in file.iter_batches(1024, row_groups=list(range(start, stop)), use_threads=False):
            size = max(batch.nbytes // max(len(batch), 1), 1)
            for record in batch.to_pylist():
                yield Row(before, size, {name: value for name, value in record.items() if value is not None})
                before += 1
