"""Files of records, and data sets of them, for tests."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from align.config import Data
from align.data import formats
from align.data.chat import Chat
from align.data.dataset import Loaded, load
from align.data.dropped import Dropped
from align.data.record import Record
from tests.align.data.tokenizers import tokenizer


def jsonl(path: Path, records: list[Any]) -> str:
    """Write records a line; strings as they are. Returns the path."""
    text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in records)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


def read(path: str, format: str = "auto", limit: int = 0) -> tuple[list[Record], Dropped]:
    """Return a file's records, and what was dropped."""
    dropped = Dropped()
    return list(formats.read(path, format, dropped, limit)), dropped


def one(path: Path, record: dict[str, Any], format: str = "auto") -> Record:
    """Return the one record of a file."""
    (made,), _ = read(jsonl(path / "one.jsonl", [record]), format)
    return made


def loaded(
    path: Any, kind: Any, *, template: str = "chatml", max_length: int = 512, batch: int = 2, **settings: Any
) -> Loaded[Any]:
    """Return the data of files; settings are those of Data, and load's own."""
    own = {name: settings.pop(name) for name in ("room", "attributes", "numbers", "gold", "cache") if name in settings}
    return load(
        Data(path=path, **settings), Chat(tokenizer(), template), kind, max_length=max_length, global_batch=batch, **own
    )


def talks(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Alpaca records, no two alike, of lengths from short to long."""
    return [
        {"instruction": f"Tell of river {n}.", "input": "", "output": f"River {n} " + "ran to the sea. " * (n % 7 + 1)}
        for n in range(first, first + count)
    ]
