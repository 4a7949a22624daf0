"""Short digests that change when what a stage would do changes."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import unicodedata
from typing import Any

from curator.spec import fields
from curator.stage import CorpusStage, Reader, Stage
from millrace import storage, tables

PLACES = ("path", "source")  # where a reader's input lies: not part of what is done to it


def digest(*said: Any) -> str:
    """Return 16 hex digits of anything JSON can say."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def of_stage(stage: Stage) -> str:
    """Fingerprint a stage: class, version, settings, content of files it names, their names where they tell
    something, its libraries."""
    settings = fields(stage)
    for name in PLACES if isinstance(stage, Reader) else ():
        settings.pop(name, None)
    return _of(stage, settings, stage.file_names())


def of_sketch(stage: CorpusStage) -> str:
    """Fingerprint what shapes a corpus stage's sketch: a new threshold leaves its sketches as they are."""
    return _of(stage, {name: value for name, value in fields(stage).items() if name in stage.sketch_fields}, [])


def _of(stage: Stage, settings: dict[str, Any], names: list[Any]) -> str:
    named = {name: [*map(of_file, urls)] for name, urls in stage.named_files().items() if name in settings}
    versions = [unicodedata.unidata_version, *map(importlib.metadata.version, stage.libraries)]
    return digest(type(stage).__name__, stage.version, settings | named, versions, *names)


def of_file(url: str) -> str:
    """Fingerprint a file's content; an absent file is a StorageError that names it."""
    return str(tables.checksum(storage.absolute(url))["xxh3"])
