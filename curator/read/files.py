"""What the readers of files share: columns, ids, and streams that fail as BadFile."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import pyarrow as pa

from curator.errors import BadFile, SpecError
from curator.schema import TYPES, arrow_type
from curator.stage import Schema
from millrace import storage
from millrace.config import did_you_mean
from millrace.errors import StorageError

COLUMNS = {"doc_id": "uint64", "id": "string", "source": "string", "url": "string", "text": "string"}
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
SURROGATES = re.compile("[\ud800-\udfff]")
BUFFER = 1 << 20  # bytes read at once


def columns_with(keep: tuple[str, ...]) -> Schema:
    """Return the columns a reader writes: the common ones and those of `keep`, each `name:type`.

    Raises SpecError on a name that is taken or a type that does not exist.
    """
    kept: dict[str, str] = {}
    for item in keep:
        name, colon, kind = item.rpartition(":")
        scalar = kind[5:-1] if kind.startswith("list<") and kind.endswith(">") else kind
        if not colon or not name:
            raise SpecError(f"keep: {item!r} must be name:type, such as {item or 'score'}:string")
        if scalar not in TYPES:
            raise SpecError(
                f"keep: {item!r} has an unknown type {kind}.{did_you_mean(scalar, TYPES)}"
                f" Types: {', '.join(TYPES)}, list<type>"
            )
        if name in COLUMNS or name in kept:
            raise SpecError(f"keep: {name} is a column already; columns: {', '.join([*COLUMNS, *kept])}")
        kept[name] = kind
    return COLUMNS | kept


def doc_ids(part: int, rows: Any) -> pa.Array:
    """Return part << 32 | row for each row."""
    return pa.array(np.uint64(part) << np.uint64(32) | np.asarray(rows, np.uint64), pa.uint64())


def id_of(url: str, file: str, position: int) -> str:
    """Return the id of a document that brings none: a hash of its URL, else of its file and position.

    The position is a byte or row of the file, so that the id does not change with the size of parts.
    """
    import xxhash

    return xxhash.xxh3_128_hexdigest((url or f"{file}#{position}").encode("utf-8", "replace"))


def without_surrogates(value: Any) -> Any:
    """Replace surrogates, which Arrow refuses, by U+FFFD; in lists and mappings too."""
    if isinstance(value, str):
        return SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {without_surrogates(k): without_surrogates(v) for k, v in value.items()}
    return value


def strings(values: list[str]) -> pa.Array:
    """Return text as an Arrow array."""
    return pa.array(values, pa.large_string())


def table(number: int, source: str, rows: Any, columns: dict[str, pa.Array], writes: Schema) -> pa.Table:
    """Return documents as a table of the columns and types in `writes`, in that order."""
    ids = doc_ids(number, rows)
    own = {"doc_id": ids, "source": pa.repeat(pa.scalar(source, pa.large_string()), len(ids))} | columns
    return pa.table({name: own[name] for name in writes}, pa.schema([(n, arrow_type(k)) for n, k in writes.items()]))


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Turn every way in which a file's bytes can be wrong into BadFile with a reason of one line."""
    import lzma
    import zlib

    try:
        yield
    except (OSError, EOFError, zlib.error, lzma.LZMAError, StorageError, pa.ArrowException) as error:
        raise BadFile(f"cannot be read to its end: {' '.join(str(error).split())}") from error


@contextlib.contextmanager
def opening(url: str) -> Iterator[IO[bytes]]:
    """Open a file for reading, decompressed as its name says. Raises BadFile where it is empty."""
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(storage.opening(url))
        if not raw.read(1):
            raise BadFile("empty file")
        raw.seek(0)
        stream = _decompressed(url, raw)
        yield stack.enter_context(io.BufferedReader(stream, BUFFER))


def _decompressed(url: str, raw: IO[bytes]) -> Any:
    ending = url[url.rfind(".") :].lower()
    if ending == ".gz":
        import gzip

        return gzip.GzipFile(fileobj=raw)
    if ending == ".bz2":
        import bz2

        return bz2.BZ2File(raw)
    if ending == ".xz":
        import lzma

        return lzma.LZMAFile(raw)
    if ending == ".zst":
        return _Zstandard(pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"))
    return raw


class _Zstandard(io.RawIOBase):
    """An Arrow stream as a Python one; Arrow's own readline goes byte by byte."""

    def __init__(self, stream: Any):
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)
