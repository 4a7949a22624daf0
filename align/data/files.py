"""Records out of files: JSON arrays, JSON Lines (plain, .gz, .zst, .bz2), Parquet, and curated runs' documents."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from align.data.curated import restored
from align.data.record import Unfit
from align.errors import DataError
from millrace import storage, tables
from millrace.storage import File

CODECS = {".zst": "zstd", ".bz2": "bz2"}
SURROGATES = re.compile("[\ud800-\udfff]")
ENDINGS = (".json", ".jsonl", ".ndjson", ".parquet")


class Found(NamedTuple):
    """A record and where it stands."""

    place: str  # file:number
    value: Any  # whatever is there
    unfit: Unfit | None = None  # why nothing is


def listed(path: Any) -> list[File]:
    """Return the files of a path, a glob, or a list of them, each once, in the order named.

    Raises DataError where nothing is named or an ending tells no format, StorageError where a glob matches nothing.
    """
    globs = [path] if isinstance(path, str) else list(path or ())
    if not globs or not all(isinstance(one, str) and one for one in globs):
        raise DataError(f"data.path is {path!r}; it must be a file, a glob, or a list of them")
    found = {file.url: file for one in globs for file in storage.find(one)}
    for url in found:
        if not _plain_name(url).endswith(ENDINGS):
            raise DataError(
                f"{url}: its ending tells no format; expected {', '.join(ENDINGS)}, or JSON with .gz, .zst, .bz2"
            )
    return list(found.values())


def records(url: str) -> Iterator[Found]:
    """Yield a file's records in their order; what cannot be parsed as a Found that says why.

    A file that begins with [ is a JSON array, one record an element; other JSON is one record a line, blank lines
    skipped. Memory: the file, decompressed. Raises DataError for a file that is damaged.
    """
    name = url.rpartition("/")[2]
    try:
        if _plain_name(url).endswith(".parquet"):
            yield from _rows(url, name)
            return
        text = _decompressed(url).decode("utf-8-sig")
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{url} cannot be read to its end: {' '.join(str(error).split())}") from None
    if text.lstrip()[:1] == "[":
        yield from _elements(url, name, text)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield Found(f"{name}:{number}", _parsed(line))
            except (ValueError, RecursionError) as error:
                yield Found(f"{name}:{number}", None, Unfit("broken JSON", str(error)))


def _plain_name(url: str) -> str:
    name = url.rpartition("/")[2].lower()
    for ending in (".gz", *CODECS):
        name = name.removesuffix(ending)
    return name


def _decompressed(url: str) -> bytes:
    content = storage.read_bytes(url)
    if url.lower().endswith(".gz"):
        return gzip.decompress(content)
    codec = CODECS.get(url[url.rfind(".") :].lower())
    return pa.CompressedInputStream(pa.BufferReader(content), codec).read() if codec else content


def _parsed(text: str) -> Any:
    """Parse JSON; half a pair of surrogates, which no tokenizer takes, becomes U+FFFD."""
    value = json.loads(text)
    return _whole(value) if "\\ud" in text.lower() else value


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return {_whole(name): _whole(one) for name, one in value.items()} if isinstance(value, dict) else value


def _elements(url: str, name: str, text: str) -> Iterator[Found]:
    try:
        values = _parsed(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{url} is no JSON array, though it begins with [: {error}") from None
    for number, value in enumerate(values, 1):
        yield Found(f"{name}:{number}", value)


def _rows(url: str, name: str) -> Iterator[Found]:
    number = 0
    with tables.open_parquet(url) as file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group, use_threads=False).to_pylist():
                number += 1
                value = {key: value for key, value in row.items() if value is not None}
                try:
                    yield Found(f"{name}:{number}", restored(value))
                except Unfit as unfit:
                    yield Found(f"{name}:{number}", None, unfit)
