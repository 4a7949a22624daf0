"""The register of a run's input: which file, and which split of it, is which part.

Append-only: a part keeps its number for ever, for `doc_id = part << 32 | row`. Files that are new get
new parts; a file that changed or vanished is refused by name, unless nothing of it was ever used.
"""

from __future__ import annotations

import uuid
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
    """A part and the state its file was in when it was registered."""

    part: Part
    bytes: int
    stamp: str


def patterns(reader: Reader) -> list[tuple[str, str]]:
    """Return (source, glob) pairs of a reader's `path`, which may be a glob, a list or {source: glob}."""
    path = reader.path
    by_source = path if isinstance(path, dict) else {getattr(reader, "source", None) or "input": path}
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


def register(pipeline: Pipeline, url: str, quarantined: set[int]) -> list[Input]:
    """Bring the register at `url` up to date with what the reader's globs name, and return it.

    `quarantined` parts may change, and keep their number while their file is gone. Raises InputError for
    any other file that changed or is gone, and RunError where the register is of a pipeline of other stages.
    """
    reader = pipeline.stages[0]
    assert isinstance(reader, Reader)
    shape, made_by = str(pipeline), of_stage(reader)
    state = storage.read_json(url) if storage.exists(url) else {}
    if state and state["pipeline"] != shape:
        raise RunError(
            f"{url.rpartition('/')[0]} holds a run of {state['pipeline']}; this is {shape}. "
            "Choose another --output, or delete that folder"
        )
    if state.get("reader") != made_by:  # the reader's settings changed: everything is read anew
        state = {"run_uid": state.get("run_uid", str(uuid.uuid4())), "parts": []}
    known = [_from_json(item) for item in state["parts"]]
    found = listing(reader)
    gone = [item for item in known if item.part.number in quarantined and item.part.url not in found]
    inputs = [_still_there(item, found, item.part.number in quarantined) for item in known if item not in gone]
    inputs += _new_parts(reader, found, {item.part.url for item in known}, len(known))
    content = {
        "pipeline": shape,
        "reader": made_by,
        "run_uid": state["run_uid"],
        "parts": [_to_json(item) for item in sorted([*gone, *inputs], key=lambda item: item.part.number)],
    }
    if content != state:
        storage.write_json(url, content)
    return inputs


def _still_there(item: Input, found: dict[str, tuple[str, File]], may_change: bool) -> Input:
    if item.part.url not in found:
        raise InputError(f"{item.part.url} was input of this run and is not among its --input now")
    source, file = found[item.part.url]
    if (file.bytes, file.stamp) != (item.bytes, item.stamp) and not may_change:
        raise InputError(
            f"{file.url} has changed since this run read it ({item.bytes} bytes then, {file.bytes} now); "
            "put it back, or give it another name to add it as new input, or start a new --output"
        )
    return Input(replace(item.part, source=source), file.bytes, file.stamp)


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
    }


def _from_json(item: dict[str, Any]) -> Input:
    split = tuple(item["split"]) if item["split"] else None
    return Input(Part(item["part"], item["url"], item["source"], split), item["bytes"], item["stamp"])
