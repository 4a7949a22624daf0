"""Items of benchmark files: which file and line each comes from, and its texts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from curator.errors import InputError, SpecError
from millrace import storage
from millrace.config import did_you_mean
from millrace.storage import File

# What an item's texts are, by the fields that a record has: the first line whose fields are all there.
SHAPES = (
    ("question", "choices"),  # MMLU, ARC, CommonsenseQA
    ("question", "choice0", "choice1", "choice2", "choice3"),  # MMLU as tables
    ("question", "A", "B", "C", "D"),
    ("question", "answer"),  # GSM8K
    ("prompt", "canonical_solution"),  # HumanEval
    ("ctx", "endings"),  # HellaSwag
    ("goal", "sol1", "sol2"),  # PIQA
    ("sentence", "option1", "option2"),  # WinoGrande
    ("problem", "solution"),  # MATH
    ("text", "code"),  # MBPP
    ("question",),
    ("prompt",),
    ("text",),
)
COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
FORMATS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")


class Item(NamedTuple):
    """One item of a benchmark."""

    benchmark: str
    url: str
    line: int  # of its file, from 1, at which it begins; in JSON and Parquet its number, from 1
    texts: tuple[str, ...]  # the question first

    @property
    def place(self) -> str:
        """Return file and line, such as gsm8k.jsonl:17."""
        return f"{self.url.rpartition('/')[2]}:{self.line}"


def listing(given: Any) -> tuple[tuple[str, File], ...]:
    """Return (benchmark, file) for every file that a glob, a list of globs, or {benchmark: globs} names.

    Without a mapping a benchmark is called as its file, up to the first dot. Raises SpecError where nothing is
    named, StorageError where a glob matches no file.
    """
    named = given if isinstance(given, Mapping) else {"": given}
    found: dict[str, tuple[str, File]] = {}
    for name, globs in named.items():
        for glob in globs if isinstance(globs, list | tuple) else [globs]:
            if not isinstance(glob, str) or not glob:
                raise SpecError(f"benchmarks: {glob!r} must be a path, a glob or a list of them, or {{name: globs}}")
            for file in storage.find(glob):
                found.setdefault(file.url, (name or file.url.rpartition("/")[2].partition(".")[0], file))
    if not found:
        raise SpecError("benchmarks names no file; it is a glob, a list of globs, or {name: globs}")
    return tuple(found.values())


def read_items(benchmark: str, url: str, fields: tuple[str, ...]) -> Iterator[Item]:
    """Yield the items of a JSON Lines, JSON, CSV, TSV or Parquet file, plain, .gz, .bz2 or .zst.

    `fields` name the texts of an item; none: SHAPES, by the first record. A field may hold a string, a number, or
    lists and mappings of these; null and absent strings in them are left out. A CSV begins with its header.
    Raises InputError in one line for a file that cannot be read and a record without a field.
    """
    chosen = fields
    for line, record in _records(url):
        if not isinstance(record, Mapping):
            raise InputError(f"{url}:{line} is {type(record).__name__}; a benchmark's items are objects with fields")
        chosen = chosen or _shape(url, line, record)
        for name in chosen:
            if name not in record:
                near = did_you_mean(name, map(str, record))
                raise InputError(f"{url}:{line} has no field {name}.{near} It has {', '.join(map(str, record))}")
        yield Item(benchmark, url, line, tuple(text for name in chosen for text in _texts(record[name])))


def _shape(url: str, line: int, record: Mapping[str, Any]) -> tuple[str, ...]:
    for names in SHAPES:
        if all(name in record for name in names):
            return names
    raise InputError(
        f"{url}:{line} has none of the fields that items are known by (question, prompt, ctx, text, ...). "
        f"It has {', '.join(map(str, record))}; name its texts with `fields`"
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value.encode("utf-8", "replace").decode()  # lone surrogates
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _records(url: str) -> Iterator[tuple[int, Any]]:
    stem = url.lower()
    codec = next((codec for ending, codec in COMPRESSED.items() if stem.endswith(ending)), None)
    stem = stem.rpartition(".")[0] if codec else stem
    kind = next((ending for ending in FORMATS if stem.endswith(ending)), None)
    if kind is None:
        raise InputError(
            f"{url}: its name tells no format; expected {', '.join(FORMATS)}, or these with .gz, .bz2, .zst"
        )
    data = storage.read_bytes(url)
    try:
        whole = pa.CompressedInputStream(pa.BufferReader(data), codec).read() if codec else data
        if kind == ".parquet":
            import pyarrow.parquet as pq

            yield from enumerate(pq.read_table(pa.BufferReader(whole)).to_pylist(), 1)
            return
        text = whole.decode("utf-8-sig")
        yield from _lines(url, text) if kind in (".jsonl", ".ndjson") else _parsed(kind, text)
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise InputError(f"{url} cannot be read as {kind[1:]}: {' '.join(str(error).split())}") from None


def _lines(url: str, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{url}:{number} is no JSON: {error}") from None


def _parsed(kind: str, text: str) -> Iterator[tuple[int, Any]]:
    if kind == ".json":
        found = json.loads(text)
        yield from enumerate(found if isinstance(found, list) else [found], 1)
        return
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if kind == ".tsv" else ",")
    if rows.fieldnames is None:
        return
    line = rows.line_num + 1
    for row in rows:
        yield line, {name: value for name, value in row.items() if name is not None}
        line = rows.line_num + 1
