"""Documents from JSON Lines files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa

from curator.errors import BadFile
from curator.read import files
from curator.schema import arrow_type
from curator.stage import Batch, Part, Reader, Schema, Unread

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class ReadJsonl(Reader):
    """Read one document from each line of JSON, from plain, .gz, .zst, .bz2 or .xz files.

    Plain files are cut into parts of `part_mb`; a part owns the lines that start in it. Blank lines are
    skipped. A line that is no JSON object (`broken_json`), is not UTF-8 (`invalid_utf8`), has no text
    (`missing_text`), or a kept field of another type (`wrong_type`) goes to the ledger. A document's id
    is its `id` field, a non-empty string or an integer, else a hash of its URL, else of its file and
    byte. Surrogates become U+FFFD.
    """

    path: Any  # a glob, a list of globs, or {source: glob}; any fsspec URL
    text: str = "text"  # the field that holds the text
    id: str = "id"
    url: str = "url"
    source: str | None = None
    keep: tuple[str, ...] = ()  # further fields to keep, each `name:type`; null where one is absent
    part_mb: int = 64

    writes = files.COLUMNS

    def __post_init__(self) -> None:
        object.__setattr__(self, "keep", tuple(self.keep))
        object.__setattr__(self, "writes", files.columns_with(self.keep))

    def splits(self, url: str, size: int) -> list[tuple[int, int] | None]:
        """Cut a plain file into byte ranges of `part_mb`; a compressed or small one is one part."""
        step = self.part_mb << 20
        if url.lower().endswith(files.COMPRESSED) or size <= step:
            return [None]
        step = -(-size // -(-size // step))  # equal parts
        return [(start, min(start + step, size)) for start in range(0, size, step)]

    def read(self, part: Part, batch_bytes: int) -> Iterator[Batch]:
        """Yield the part's documents. Raises BadFile where the file is empty or damaged."""
        with files.reading(), files.opening(part.url) as stream:
            row, batch = 0, _Batch(self, part)
            for start, line in lines(stream, part.split):
                if batch.bytes and batch.bytes + len(line) > batch_bytes:
                    yield batch.finished()
                    batch = _Batch(self, part)
                batch.bytes += len(line)
                if not line.strip():
                    batch.skipped["blank line"] += 1
                    continue
                batch.add(row, start, line)
                row += 1
            if batch.bytes:
                yield batch.finished()


def lines(stream: IO[bytes], split: tuple[int, int] | None) -> Iterator[tuple[int, bytes]]:
    """Yield (first byte, line) for each line that starts in the split, without a byte order mark."""
    start, stop = split or (0, None)
    if start:  # the line that holds the byte before belongs to the part before
        stream.seek(start - 1)
        start += len(stream.readline()) - 1
    elif not split and not stream.peek(1):  # type: ignore[attr-defined]
        raise BadFile("empty file")
    while (stop is None or start < stop) and (line := stream.readline()):
        yield start, line if start else line.removeprefix(BOM)
        start += len(line)


class _Batch:
    """The documents of one batch while it grows."""

    def __init__(self, reader: ReadJsonl, part: Part):
        self.reader, self.part = reader, part
        self.bytes = 0  # of lines: never less than those of their text
        self.rows: list[int] = []
        self.ids: list[str] = []
        self.urls: list[str] = []
        self.texts: list[str] = []
        self.kept: Schema = {name: kind for name, kind in reader.writes.items() if name not in files.COLUMNS}
        self.fields: dict[str, list[Any]] = {name: [] for name in self.kept}
        self.unread: list[Unread] = []
        self.skipped: Counter[str] = Counter()

    def add(self, row: int, start: int, line: bytes) -> None:
        """Add the document of a line, or the reason why there is none."""
        record, reason, detail = parsed(line)
        url = record.get(self.reader.url)
        url = url if isinstance(url, str) else ""
        given = record.get(self.reader.id)
        given = str(given) if isinstance(given, int) and not isinstance(given, bool) else given
        id = given if isinstance(given, str) and given else files.id_of(url, self.part.url, start)
        text = record.get(self.reader.text)
        if not reason and not isinstance(text, str):
            reason, detail = "missing_text", _without(self.reader.text, record)
        if not reason:
            reason, detail = self._wrong_type(record)
        if reason or not isinstance(text, str):
            self.unread.append(Unread(row, id, url, reason, detail))
            return
        self.rows.append(row)
        self.ids.append(id)
        self.urls.append(url)
        self.texts.append(text)
        for name, values in self.fields.items():
            values.append(record.get(name))

    def _wrong_type(self, record: dict[str, Any]) -> tuple[str, str]:
        for name, kind in self.kept.items():
            value = record.get(name)
            try:
                pa.scalar(value, arrow_type(kind))
            except (pa.ArrowException, TypeError, OverflowError, ValueError):
                return "wrong_type", f"{name} is {type(value).__name__} {str(value)[:40]}; expected {kind}"
        return "", ""

    def finished(self) -> Batch:
        """Return the batch as Arrow data."""
        columns = {
            "id": files.strings(self.ids),
            "url": files.strings(self.urls),
            "text": files.strings(self.texts),
        }
        columns |= {name: pa.array(self.fields[name], arrow_type(kind)) for name, kind in self.kept.items()}
        table = files.table(self.part.number, self.part.source, self.rows, columns, self.reader.writes)
        return Batch(table, self.unread, self.skipped)


def parsed(line: bytes) -> tuple[dict[str, Any], str, str]:
    """Return (object, "", "") of a line of JSON, or ({}, reason, detail)."""
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return {}, "invalid_utf8", f"byte {error.start} of the line: {error.reason}"
    except json.JSONDecodeError as error:
        return {}, "broken_json", f"character {error.pos} of the line: {error.msg}"
    except (ValueError, RecursionError) as error:  # a number of over 4,300 digits; too many brackets
        return {}, "broken_json", str(error)
    if not isinstance(record, dict):
        return {}, "broken_json", f"expected an object, not {type(record).__name__}"
    if b"\\ud" in line or b"\\uD" in line:  # an escape that may be half of a pair
        record = files.without_surrogates(record)
    return record, "", ""


def _without(field: str, record: dict[str, Any]) -> str:
    if field in record:
        return f"{field} is {type(record[field]).__name__}; expected a string"
    return f"no field {field}; fields: {', '.join(map(str, list(record)[:20]))}"
