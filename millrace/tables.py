"""Arrow tables as files: Parquet for what people read, memory-mapped Arrow IPC for sketches.

The bytes of a Parquet file do not depend on how the rows came in (an IPC file's padding may): row groups
are cut by the rows alone, at GROUP_ROWS rows or GROUP_BYTES bytes, whichever is first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from millrace import storage

GROUP_ROWS = 16_384
GROUP_BYTES = 16 << 20
LONG = {"text", "id", "url", "html"}  # string columns with few repeats: no dictionary


class _Hashing:
    """A stream that hashes and counts what passes through it."""

    def __init__(self, stream: IO[bytes]):
        self.stream, self.hash, self.bytes = stream, xxhash.xxh3_128(), 0
        self.closed = self.abandoned = False

    def write(self, content: Any) -> int:
        if self.abandoned:
            return len(content)
        self.hash.update(content)
        self.bytes += len(content)
        return self.stream.write(content)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        if not self.abandoned:
            self.stream.flush()

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


class TableWriter:
    """Takes tables of any length and writes row groups of fixed cut; see `writing_table`."""

    def __init__(self, url: str, schema: pa.Schema, stream: IO[bytes], compression: str):
        self.schema = schema
        self.rows = 0
        self._sink = _Hashing(stream)
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0
        if url.endswith(".parquet"):
            short = [f.name for f in schema if pa.types.is_large_string(f.type) and f.name not in LONG]
            file = pa.PythonFile(self._sink, mode="w")
            self._file = pq.ParquetWriter(
                file, schema, compression=compression, use_dictionary=short or False, write_page_index=False
            )
        else:
            self._file = pa.ipc.new_file(pa.PythonFile(self._sink, mode="w"), schema)

    @property
    def checksum(self) -> dict[str, Any]:
        """Bytes and XXH3-128 of the file; valid once the writer is closed."""
        return {"bytes": self._sink.bytes, "xxh3": self._sink.hash.hexdigest()}

    def write(self, table: pa.Table) -> None:
        """Append rows; their columns must be those of the schema."""
        table = table.select(self.schema.names).cast(self.schema)
        self.rows += len(table)
        sizes = np.cumsum(_row_bytes(table)) if len(table) else np.zeros(0, np.int64)
        start, before = 0, 0
        while start < len(table):
            room = GROUP_BYTES - self._waiting_bytes
            stop = int(np.searchsorted(sizes, before + room)) + 1  # the row that fills the group is in it
            stop = min(stop, start + GROUP_ROWS - self._waiting_rows, len(table))
            self._waiting.append(table.slice(start, stop - start))
            self._waiting_rows += stop - start
            self._waiting_bytes += int(sizes[stop - 1]) - before
            start, before = stop, int(sizes[stop - 1])
            if self._waiting_rows >= GROUP_ROWS or self._waiting_bytes >= GROUP_BYTES:
                self._write_group()

    def _write_group(self) -> None:
        group = pa.concat_tables(self._waiting).combine_chunks()
        if isinstance(self._file, pq.ParquetWriter):
            self._file.write_table(group, row_group_size=max(len(group), 1))
        else:
            self._file.write_table(group, max_chunksize=max(len(group), 1))
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0

    def close(self) -> None:
        """Write the last row group and the footer."""
        if self._waiting:
            self._write_group()
        self._file.close()

    def abandon(self) -> None:
        """Forget what is not written; the library's own close at the end must not reach the stream."""
        self._sink.abandoned = True
        self._file.close()


def _row_bytes(table: pa.Table) -> np.ndarray:
    total = np.zeros(len(table), np.int64)
    for column in table.columns:
        sizes = [_value_bytes(chunk) for chunk in column.chunks]
        total += np.concatenate(sizes) if sizes else 0
    return total


def _value_bytes(array: pa.Array) -> np.ndarray:
    kind = array.type
    is_list = pa.types.is_large_list(kind)
    if not (is_list or pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)):
        return np.full(len(array), max(kind.bit_width // 8, 1))
    if not len(array):
        return np.zeros(0, np.int64)
    offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]
    if not is_list:
        return np.diff(offsets)
    inner = _value_bytes(array.values.slice(offsets[0], offsets[-1] - offsets[0]))
    return np.diff(np.append(0, np.cumsum(inner))[offsets - offsets[0]])


@contextlib.contextmanager
def writing_table(
    url: str, schema: pa.Schema, compression: str = "zstd", durable: bool = True
) -> Iterator[TableWriter]:
    """Give a writer whose rows become the file when the block ends well, and nothing otherwise.

    `compression` is Parquet's; lz4 costs a third of zstd's time, for files that do not stay. `durable` as
    for `storage.writing`.
    """
    with storage.writing(url, durable) as stream:
        writer = TableWriter(url, schema, stream, compression)
        try:
            yield writer
        except BaseException:
            writer.abandon()
            raise
        writer.close()


def write_table(url: str, table: pa.Table, durable: bool = True) -> dict[str, Any]:
    """Write one table; return its checksum."""
    with writing_table(url, table.schema, durable=durable) as writer:
        writer.write(table)
    return writer.checksum


def read_table(url: str, columns: list[str] | None = None) -> pa.Table:
    """Return a table written here: memory-mapped where it is a local .arrow file."""
    if url.endswith(".arrow"):
        source = pa.memory_map(str(storage.local_path(url))) if storage.is_local(url) else storage.read_bytes(url)
        table = pa.ipc.open_file(source).read_all()
        return table.select(columns) if columns is not None else table
    with open_parquet(url) as file:
        return file.read(columns=columns, use_threads=False)


@contextlib.contextmanager
def open_parquet(url: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file for reading row group by row group."""
    with storage.opening(url) as stream:
        yield pq.ParquetFile(stream)


def checksum(url: str) -> dict[str, Any]:
    """Return bytes and XXH3-128 of any file, as a writer would have stated them."""
    digest, size = xxhash.xxh3_128(), 0
    with storage.opening(url) as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
            size += len(block)
    return {"bytes": size, "xxh3": digest.hexdigest()}
