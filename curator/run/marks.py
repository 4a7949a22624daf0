"""Done markers: what was written for one part or fit, under which key, with checksums. Written last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from curator.run.folder import RunFolder
from millrace import storage, tables
from millrace.errors import StorageError

Mark = dict[str, Any]  # key, files {name below the run folder: {bytes, xxh3}}, and what was counted


@dataclass(frozen=True)
class Marks:
    """Reads and writes markers of one run."""

    folder: RunFolder

    def valid(self, url: str, key: str) -> Mark | None:
        """Return the marker at `url` if it was made under `key` and its files are whole, else None.

        Reads every byte of the files it names, so that a damaged checkpoint is redone and not believed.
        """
        if not storage.exists(url):
            return None
        try:
            mark: Mark = storage.read_json(url)
        except StorageError:  # half a marker is none
            return None
        if not isinstance(mark, dict) or mark.get("key") != key:
            return None
        whole = all(
            storage.exists(self.folder.path(name)) and tables.checksum(self.folder.path(name)) == checksum
            for name, checksum in mark["files"].items()
        )
        return mark if whole else None

    def write(self, url: str, mark: Mark) -> Mark:
        """Write a marker, after all the files it names."""
        storage.write_json(url, mark)
        return mark
