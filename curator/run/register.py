"""The register of a run's input: which file, and which split of it, is which part.

Append-only: a part keeps its number for ever, for `doc_id = part << 32 | row`. Files that are new get
new parts. A file that changed or vanished is refused by name if documents of it are in the run; if not
(it was quarantined, or never reached), its parts are retired, and what is there now gets new ones.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from curator.errors import InputError, RunError, SpecError
from curator.fingerprint import of_stage
from curator.pipeline import Pipeline
from curator.stage import Part, Reader
from millrace import storage
from millrace.storage import File

MAX_PARTS = 1 << 31


@dataclass(frozen=True)
class Input:
    """A part, and the state its file was in when it was registered."""

    part: Part
    bytes: int
    stamp: str
    used: bool = False  # documents of it are in the run
    retired: bool = False  # its file has changed since; the number stays taken


def patterns(reader: Reader) -> list[tuple[str, str]]:
    """Return (source, glob) pairs of a reader's `path`, which may be a glob, a list or {source: glob}."""
    path = reader.path
    if isinstance(path, dict) and reader.source:
        raise SpecError(f"{type(reader).__name__}: path names its sources already; leave source away")
    by_source = path if isinstance(path, dict) else {reader.source or "input": path}
    found = [
        (str(source), p)
        for source, given in by_source.items()
        for p in (given if isinstance(given, list | tuple) else [given])
    ]
    if not found or not all(isinstance(p, str) and p for _, p in found):
        raise SpecError(
            f"{type(reader).__name__}.path is {path!r}; it must be a glob, a list of globs or {{source: glob}}; "
            "--input sets it"
        )
    return found


def listing(reader: Reader) -> dict[str, tuple[str, File]]:
    """Return url -> (source, file) for all files the reader's globs name. Each file counts once."""
    found: dict[str, tuple[str, File]] = {}
    for source, pattern in patterns(reader):
        for file in storage.find(pattern):
            found.setdefault(file.url, (source, file))
    return found


def register(pipeline: Pipeline, url: str) -> list[Input]:
    """Bring the register at `url` up to date with what the reader's globs name; return the parts to run.

    Raises InputError for a file in use that changed or is gone, and RunError where the register is of a
    pipeline of other stages.
    """
    reader = pipeline.stages[0]
    assert isinstance(reader, Reader)
    if reader.part_mb < 1:
        raise SpecError(f"{type(reader).__name__}.part_mb is {reader.part_mb}; it must be at least 1")
    shape, made_by = str(pipeline), of_stage(reader)
    state = storage.read_json(url) if storage.exists(url) else {}
    if state and state["pipeline"] != shape:
        raise RunError(
            f"{url.rpartition('/')[0]} holds a run of {state['pipeline']}; this is {shape}. "
            "Choose another --output, or delete that folder"
        )
    if state.get("reader") != made_by:  # the reader's settings changed: everything is read anew
        state = {"run_uid": state.get("run_uid", str(uuid.uuid4())), "parts": []}
    found = listing(reader)
    known = [_from_json(item) for item in state["parts"]]
    in_use = {item.part.url for item in known if item.used}
    known = [_checked(item, found, item.part.url in in_use) for item in known]
    there = {item.part.url for item in known if not item.retired}
    inputs = [*known, *_new_parts(reader, found, there, len(known))]
    _write(url, state | {"pipeline": shape, "reader": made_by}, inputs)
    return [item for item in inputs if not item.retired]


def mark_used(url: str, numbers: Collection[int]) -> None:
    """Say in the register which parts gave documents to the run: their files may not change any more."""
    state = storage.read_json(url)
    inputs = [_from_json(item) for item in state["parts"]]
    _write(url, state, [replace(i, used=i.used or i.part.number in numbers) for i in inputs])


def _write(url: str, state: dict[str, Any], inputs: list[Input]) -> None:
    content = {**state, "parts": [_to_json(item) for item in inputs]}
    if not storage.exists(url) or content != storage.read_json(url):
        storage.write_json(url, content)


def _checked(item: Input, found: dict[str, tuple[str, File]], in_use: bool) -> Input:
    """Return a registered part as it is now: its source as the globs say, or retired."""
    if item.retired:
        return item
    source, file = found.get(item.part.url, ("", None))
    if file is not None and (file.bytes, file.stamp) == (item.bytes, item.stamp):
        return replace(item, part=replace(item.part, source=source))
    if not in_use:
        return replace(item, retired=True)
    if file is None:
        raise InputError(f"{item.part.url} was input of this run and is not among its --input now")
    raise InputError(
        f"{file.url} has changed since this run read it ({item.bytes} bytes then, {file.bytes} now); "
        "put it back, or give it another name to add it as new input, or start a new --output"
    )


def _new_parts(reader: Reader, found: dict[str, tuple[str, File]], known: set[str], number: int) -> list[Input]:
    new: list[Input] = []
    for url in sorted(set(found) - known):
        source, file = found[url]
        for split in reader.splits(url, file.bytes):
            new.append(Input(Part(number + len(new), url, source, split), file.bytes, file.stamp))
    if number + len(new) > MAX_PARTS:
        raise InputError(f"{number + len(new)} parts; a run holds at most {MAX_PARTS}")
    return new


def _to_json(item: Input) -> dict[str, Any]:
    part = item.part
    return {
        "part": part.number,
        "url": part.url,
        "source": part.source,
        "split": list(part.split) if part.split else None,
        "bytes": item.bytes,
        "stamp": item.stamp,
        "used": item.used,
        "retired": item.retired,
    }


def _from_json(item: dict[str, Any]) -> Input:
    split = tuple(item["split"]) if item["split"] else None
    part = Part(item["part"], item["url"], item["source"], split)
    return Input(part, item["bytes"], item["stamp"], item["used"], item["retired"])
