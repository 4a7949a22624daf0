"""Items out of files: JSON, JSON Lines, CSV, TSV, Parquet, every mistake named by file, line and field."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from align.data import files
from align.errors import DataError
from millrace import storage
from serve.errors import EvaluationError

TABLES = {".csv": ",", ".tsv": "\t"}
ENDINGS = (*files.ENDINGS, *(f"{one}.gz" for one in (".json", ".jsonl")), *TABLES)


@dataclass(frozen=True)
class Item:
    """A record, and where it stands."""

    place: str  # file:line
    value: Mapping[str, Any]

    def field(self, name: str) -> Any:
        """Return what a field holds; `a.b` is field b of field a. Raises EvaluationError where there is none."""
        at: Any = self.value
        for part in name.split("."):
            if not isinstance(at, Mapping) or at.get(part) is None:
                there = ", ".join(map(str, self.value)) or "none"
                raise EvaluationError(f"{self.place}: field {name} is missing; fields of the record: {there}")
            at = at[part]
        return at

    def text(self, name: str) -> str:
        """Return a field that holds text. Raises EvaluationError."""
        found = self.field(name)
        if not isinstance(found, str):
            raise self.wrong(name, found, "text")
        return found

    def texts(self, name: str, least: int = 2) -> tuple[str, ...]:
        """Return a field that holds a list of texts. Raises EvaluationError where they are too few to choose from."""
        found = self.field(name)
        if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
            raise self.wrong(name, found, "a list of texts")
        if len(found) < least:
            raise EvaluationError(
                f"{self.place}: field {name} holds {len(found)} answer{'s' * (len(found) != 1)}; at least {least} are "
                "needed to choose from"
            )
        return tuple(found)

    def label(self, name: str, count: int, letters: str = "", first: int = 0) -> int:
        """Return which of `count` answers a field names, from 0: a number from `first` up, or one of the letters.

        Raises EvaluationError where it names none of them.
        """
        found = self.field(name)
        wanted = f"a number from {first} to {first + count - 1}"
        if letters:
            wanted += f" or a letter from {letters[0]} to {letters[count - 1]}"
        said = str(found).strip()
        if len(said) == 1 and said in letters[:count]:
            return letters.index(said)
        if isinstance(found, bool) or not said.isdecimal() or not first <= int(said) < first + count:
            raise self.wrong(name, found, wanted)
        return int(said) - first

    def wrong(self, name: str, found: Any, wanted: str) -> EvaluationError:
        """Return the error that says what a field holds and what it must hold."""
        said = repr(found)
        return EvaluationError(
            f"{self.place}: field {name} is {said[:80]}{'...' * (len(said) > 80)}; it must be {wanted}"
        )


def listed(task: str, path: Any, endings: Sequence[str] = ENDINGS) -> list[str]:
    """Return the files of a path, a glob, or a list of them. Raises EvaluationError where an ending tells no format."""
    given = [path] if isinstance(path, str) else list(path or ())
    if not given or not all(isinstance(one, str) and one for one in given):
        raise EvaluationError(f"{task} needs files: {task}=FILE, a glob, or several with commas between")
    found = {file.url: file for one in given for file in storage.find(one)}
    for url in found:
        if not url.lower().endswith(tuple(endings)):
            raise EvaluationError(f"{url}: its ending tells no format; expected {', '.join(endings)}")
    return list(found)


def read(task: str, path: Any, columns: Sequence[str] = ()) -> tuple[list[Item], dict[str, str]]:
    """Return the records of files, in their order, and each file's SHA-256 by its name.

    columns: those of CSV files whose first line is a record already. Raises EvaluationError for a file without
    records, and for what cannot be parsed.
    """
    urls = listed(task, path)
    found: list[Item] = []
    for url in urls:
        before = len(found)
        try:
            found += _table(url, columns) if url.lower().endswith(tuple(TABLES)) else _records(url)
        except DataError as error:
            raise EvaluationError(str(error)) from None
        if len(found) == before:
            raise EvaluationError(f"{url} is empty: {task} needs at least one record")
    return found, hashes(urls)


def hashes(urls: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of files by their names; by their paths where two have the same name."""
    names = [PurePosixPath(url).name for url in urls]
    keys = names if len(set(names)) == len(names) else list(urls)
    return {key: hashlib.sha256(storage.read_bytes(url)).hexdigest() for key, url in zip(keys, urls)}


def _records(url: str) -> Iterator[Item]:
    for found in files.records(url):
        if found.unfit is not None:
            raise EvaluationError(f"{found.place}: {': '.join(map(str, found.unfit.args))}")
        if not isinstance(found.value, Mapping):
            raise EvaluationError(f"{found.place}: a record is an object of fields, not {str(found.value)[:40]!r}")
        yield Item(found.place, found.value)


def _table(url: str, columns: Sequence[str]) -> Iterator[Item]:
    name = PurePosixPath(url).name
    try:
        text = storage.read_bytes(url).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{url} is not UTF-8: {error.reason} at byte {error.start}") from None
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=TABLES[url[-4:].lower()], strict=True)
    heads = list(columns)
    try:
        for row in rows:
            if not heads:
                heads = row
            elif len(row) != len(heads):
                raise EvaluationError(f"{name}:{rows.line_num}: {len(row)} values for {len(heads)} columns")
            else:
                yield Item(f"{name}:{rows.line_num}", dict(zip(heads, row)))
    except csv.Error as error:
        raise EvaluationError(f"{name}:{rows.line_num}: {error}") from None
