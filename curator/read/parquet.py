"""Documents from Parquet files."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.errors import BadFile
from curator.read import files
from curator.schema import arrow_type
from curator.stage import Batch, Part, Reader, Unread
from millrace import storage
from millrace.config import did_you_mean
from millrace.errors import StorageError

if TYPE_CHECKING:
    import pyarrow.parquet as pq


@dataclass(frozen=True)
class ReadParquet(Reader):
    """Read one document from each row of Parquet files.

    A part is consecutive row groups of about `part_mb` compressed bytes. Text is not copied. A null text
    (`missing_text`) or one that is not UTF-8 (`invalid_utf8`) goes to the ledger. A document's id is its
    `id` column, a non-empty string or an integer, else a hash of its URL, else of its file and row.
    """

    path: Any  # a glob, a list of globs, or {source: glob}; any fsspec URL
    text: str = "text"  # the column that holds the text
    id: str = "id"
    url: str = "url"
    source: str | None = None
    keep: tuple[str, ...] = ()  # further columns to keep, each `name:type`
    part_mb: int = 64

    writes = files.COLUMNS

    def __post_init__(self) -> None:
        object.__setattr__(self, "keep", tuple(self.keep))
        object.__setattr__(self, "writes", files.columns_with(self.keep))

    def splits(self, url: str, size: int) -> list[tuple[int, int] | None]:
        """Cut a file between row groups; one without a sound footer is one part, which `read` refuses."""
        try:
            with opened(url) as file:
                groups = [_compressed_bytes(file.metadata.row_group(i)) for i in range(file.num_row_groups)]
        except (pa.ArrowInvalid, OSError, StorageError, BadFile):
            return [None]
        total = max(1, sum(groups))
        parts = -(-total // (self.part_mb << 20))  # of equal size, as nearly as the row groups allow
        middles = [after - group / 2 for after, group in zip(itertools.accumulate(groups), groups)]
        owners = [int(middle * parts / total) for middle in middles]
        cuts = [i for i, owner in enumerate(owners) if not i or owner != owners[i - 1]] + [len(groups)]
        return [*itertools.pairwise(cuts)] if len(cuts) > 2 else [None]

    def read(self, part: Part, batch_bytes: int) -> Iterator[Batch]:
        """Yield the part's documents. Raises BadFile where the file is damaged or lacks a column."""
        with files.reading(), opened(part.url) as file:
            columns = self._columns(file.schema_arrow)
            start, stop = part.split or (0, file.num_row_groups)
            before = sum(file.metadata.row_group(i).num_rows for i in range(start))
            row = 0
            for table in _batches(file, list(range(start, stop)), columns, self.text, batch_bytes):
                yield self._batch(part, table, row, before)
                row += len(table)

    def _columns(self, schema: pa.Schema) -> list[str]:
        """Return the columns to read. Raises BadFile for one that is missing or has an unfit type."""
        needed = [self.text, *list(self.writes)[len(files.COLUMNS) :]]
        for name in needed:
            if name not in schema.names:
                raise BadFile(f"no column {name}.{did_you_mean(name, schema.names)} Columns: {', '.join(schema.names)}")
        if not _is_text(kind := schema.field(self.text).type):
            raise BadFile(f"column {self.text} is {kind}; expected string")
        return needed + [name for name in (self.id, self.url) if name in schema.names and name not in needed]

    def _batch(self, part: Part, table: pa.Table, row: int, before: int) -> Batch:
        """Make a batch of the rows from `row` of the part on; the part follows `before` rows of the file."""
        raw = table[self.text]
        texts, reasons = _valid(raw)
        urls = _strings(table, self.url).fill_null("")
        ids = self._ids(table, urls, part, before + row)
        good = pc.equal(reasons, "")
        columns = {"id": ids, "url": urls, "text": texts}
        columns |= {n: _cast(table, n, k) for n, k in self.writes.items() if n not in files.COLUMNS}
        rows = np.arange(row, row + len(table))
        documents = files.table(part.number, part.source, rows, columns, self.writes)
        if pc.all(good).as_py() is not False:
            return Batch(documents)
        unread = [
            Unread(row + i, ids[i].as_py(), urls[i].as_py(), reasons[i].as_py())
            for i in np.flatnonzero(~good.to_numpy(zero_copy_only=False)).tolist()
        ]
        return Batch(documents.filter(good), unread)

    def _ids(self, table: pa.Table, urls: pa.Array, part: Part, first: int) -> pa.Array:
        """Return the ids; only rows that bring none cost Python."""
        ids = _strings(table, self.id)
        absent = pc.equal(ids.fill_null(""), "")
        if not pc.any(absent).as_py():
            return ids
        made = [
            files.id_of(urls[i].as_py(), part.url, first + i)
            for i in np.flatnonzero(absent.to_numpy(zero_copy_only=False)).tolist()
        ]
        return pc.replace_with_mask(ids, absent, files.strings(made))


@contextlib.contextmanager
def opened(url: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file, a local one mapped into memory."""
    import pyarrow.parquet as pq

    with storage.opening(url) as stream:
        if not stream.read(1):
            raise BadFile("empty file")
        source = str(storage.local_path(url)) if storage.is_local(url) else stream
        with pq.ParquetFile(source, memory_map=storage.is_local(url), page_checksum_verification=True) as file:
            yield file


def _compressed_bytes(group: Any) -> int:
    return sum(group.column(i).total_compressed_size for i in range(group.num_columns))


def _batches(
    file: pq.ParquetFile, groups: list[int], columns: list[str], text: str, batch_bytes: int
) -> Iterator[pa.Table]:
    """Yield consecutive rows with at most `batch_bytes` of text, one row at least."""
    details = [file.metadata.row_group(i) for i in groups]
    size, rows = sum(d.total_byte_size for d in details), sum(d.num_rows for d in details)
    height = max(1, min(1 << 16, batch_bytes * rows // max(1, size)))  # rows that should fit, by the footer
    for batch in file.iter_batches(height, row_groups=groups, columns=columns, use_threads=False):
        table = pa.Table.from_batches([batch])
        ends = np.cumsum(pc.binary_length(_plain(table[text])).fill_null(0).to_numpy().astype(np.int64))
        start = 0
        while start < len(table):
            filled = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, filled + batch_bytes, "right")))
            yield table.slice(start, stop - start)
            start = stop


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in (*tests, pa.types.is_binary, pa.types.is_large_binary))


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """Return a column of text as one array, neither a dictionary nor a view."""
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.large_string()) if pa.types.is_string_view(array.type) else array


def _valid(column: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """Return (texts, reasons): a reason is empty where the text can be read, and only there."""
    array = _plain(column)
    reasons = pc.if_else(array.is_valid(), "", "missing_text")
    try:
        texts = array.cast(pa.large_string())  # checks binary, shares the bytes
        texts.validate(full=True)  # Parquet's own strings are not checked when they are read
    except pa.ArrowInvalid:
        decoded = [_decoded(value) for value in array.cast(pa.large_binary()).to_pylist()]
        texts = pa.array(decoded, pa.large_string())
        broken = pc.and_(array.is_valid(), texts.is_null())
        reasons = pc.if_else(broken, "invalid_utf8", reasons)
    return texts, reasons


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _strings(table: pa.Table, name: str) -> pa.Array:
    """Return a column of strings or integers as strings; null where it is absent or anything else."""
    if name in table.column_names:
        kind = table.schema.field(name).type
        if _is_text(kind):
            return _valid(table[name])[0]
        if pa.types.is_integer(kind):
            return _plain(table[name]).cast(pa.large_string())
    return pa.nulls(len(table), pa.large_string())


def _cast(table: pa.Table, name: str, kind: str) -> pa.Array:
    try:
        if kind == "string" and _is_text(table.schema.field(name).type):
            return _valid(table[name])[0]
        return _plain(table[name]).cast(arrow_type(kind))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BadFile(f"column {name} is {table.schema.field(name).type}, not {kind}: {error}") from None
