"""What a run keeps for the next one: inputs that were cut, and answers of peers that take long."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DIGITS = 12  # of a digest; a work folder holds tens of files


def once(path: Path, make: Callable[[Path], object]) -> Path:
    """Return a file or folder, made by `make` where it is absent. One that was not finished is made again."""
    if not path.exists():
        begun = path.with_name(f"begun-{path.name}")
        shutil.rmtree(begun) if begun.is_dir() else begun.unlink(missing_ok=True)
        make(begun)
        begun.rename(path)
    return path


def answer(folder: Path, name: str, parts: object, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a JSON answer, asked for once; `parts`, all that it depends on, tells it from other answers."""
    path = folder / f"{name}-{digest(parts)}.json"
    said: dict[str, Any] = json.loads(once(path, lambda begun: begun.write_text(json.dumps(ask()))).read_text())
    return said


def peer_answer(
    folder: Path, program: Path, words: Sequence[str], source: Path, versions: str, ask: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return a peer's answer on a whole input, with the minute it was asked at; asked for once, for it takes long."""

    def dated() -> dict[str, Any]:
        return ask() | {"date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}

    return answer(folder, "removed", [program.read_text(), [*words], source.name, versions], dated)


def digest(parts: object) -> str:
    """Return a short name for anything that JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:DIGITS]
