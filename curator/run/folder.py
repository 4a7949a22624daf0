"""Where everything of a run lies.

inputs.json                 register of parts; append-only
forgotten.json              ids of documents that must not be read again, if any
index/                      what FuzzyDedup leaves for later runs, if asked
documents/ ledger/ signals/ part-00012.parquet each
tokens/                     shards, tokenizer.json, manifest.json
run.json  report.html
work/                       segments, sketches, fits, done markers; `millrace clean` drops it
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from curator.errors import RunError
from millrace import storage

PUBLISHED = ("documents", "ledger", "signals")
INDEX = "index"
WORK_OF_LAST = "work/published"  # markers and sketches of the segment that publishes


def part_name(number: int) -> str:
    """Return the file name, without ending, of a part."""
    return f"part-{number:05d}"


@dataclass(frozen=True)
class RunFolder:
    """The paths below one run folder, a local path or an fsspec URL."""

    url: str

    def path(self, *names: str) -> str:
        """Return the URL of something in the run."""
        return storage.join(self.url, *names)

    @property
    def inputs(self) -> str:
        return self.path("inputs.json")

    @property
    def summary(self) -> str:
        return self.path("run.json")

    @property
    def work(self) -> str:
        return self.path("work")

    def claim(self) -> None:
        """Refuse a folder that holds something else than a run."""
        names = [n for n in storage.list_folder(self.url) if not n.startswith(".")]
        if names and "inputs.json" not in names and names != ["work"]:
            raise RunError(f"{self.url} is not a run folder: it holds {', '.join(names[:3])}; choose another --output")

    def require(self) -> None:
        """Refuse a folder that holds no finished run."""
        if not storage.exists(self.summary):
            state = "an unfinished run" if storage.exists(self.inputs) else "no run"
            raise RunError(f"{self.url} holds {state}: there is no run.json")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from writing to the folder."""
        try:
            with storage.lock(storage.join(self.work, "lock"), f"process {os.getpid()} on {socket.gethostname()}"):
                yield
        except BlockingIOError as error:
            raise RunError(f"{self.url} is in use by {error}") from None
