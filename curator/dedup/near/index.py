"""An index on disk: what a later run must know of the documents that a deduplication kept.

    index/manifest.json                 settings, parts, checksums; written last
    index/part-00012.sketch.arrow       doc_id, priority, characters, band_00, ...; by doc_id
    index/part-00012.shingles.arrow     doc_id, shingles list<uint64> (evidence: fingerprints)

It holds the documents that its FuzzyDedup left, those that later stages of that run dropped among them.
Verification reads the stored fingerprints, or the text (evidence: text) where the run still holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from curator.errors import DedupIndexError
from curator.run.folder import part_name
from millrace import storage, tables

FORMAT = 1
MANIFEST = "manifest.json"
EVIDENCE = ("fingerprints", "text")


@dataclass(frozen=True)
class Index:
    """A checked index. Goes to any task."""

    url: str  # its folder
    manifest: dict[str, Any]
    kept_only: bool = False  # leave out documents that later stages of its run dropped

    @property
    def run_uid(self) -> str:
        """The run that made it."""
        return str(self.manifest["run_uid"])

    @property
    def parts(self) -> list[tuple[int, int]]:
        """(part, documents) of each part."""
        return [(part["part"], part["rows"]) for part in self.manifest["parts"]]

    def read(self, part: int, *columns: str) -> pa.Table:
        """Return doc_id and `columns` of a part's sketches."""
        table = tables.read_table(self._whole(sketch_name(part)), ["doc_id", *columns])
        if self.kept_only:
            documents = storage.join(self.run_folder, "documents", part_name(part) + ".parquet")
            kept = tables.read_table(documents, ["doc_id"])["doc_id"].to_numpy()
            table = table.filter(pa.array(np.isin(table["doc_id"].to_numpy(), kept)))
        return table

    @property
    def run_folder(self) -> str:
        """The folder of the run that made it, which the index lies in."""
        return run_of(self.url)

    @property
    def has_fingerprints(self) -> bool:
        """Tell whether shingles are stored; else verification reads text."""
        return bool(self.manifest["evidence"] == "fingerprints")

    def shingles(self, part: int, ids: np.ndarray) -> pa.Array:
        """Return the stored shingle sets of some of a part's documents, by ascending doc_id."""
        table = tables.read_table(self._whole(shingles_name(part)))
        rows = np.searchsorted(table["doc_id"].to_numpy(), ids)
        return table["shingles"].take(pa.array(rows)).combine_chunks()

    def _whole(self, name: str) -> str:
        """Return the URL of a file after reading it once against its checksum: a wrong bit is a wrong decision."""
        url = storage.join(self.url, name)
        if tables.checksum(url) != self.manifest["files"][name]:
            raise DedupIndexError(f"{url} is damaged: its checksum is not that of {MANIFEST}; make the index anew")
        return url

    def document_file(self, part: int) -> str:
        """Return the URL of the part's documents as they were when the index was made."""
        return storage.join(self.run_folder, *filter(None, [self.manifest["documents"]]), part_name(part) + ".parquet")


def sketch_name(part: int) -> str:
    """Return the name of a part's sketches in the index."""
    return part_name(part) + ".sketch.arrow"


def shingles_name(part: int) -> str:
    """Return the name of a part's fingerprints in the index."""
    return part_name(part) + ".shingles.arrow"


def locate(url: str) -> str:
    """Return the URL of an index's folder, given that or the folder of the run it lies in."""
    url = storage.absolute(url)
    inside = storage.join(url, "index")
    return inside if storage.exists(storage.join(inside, MANIFEST)) else url


def run_of(url: str) -> str:
    """Return the URL of the run an index lies in, given either."""
    return locate(url).rpartition("/")[0]


def manifest_of(url: str) -> str:
    """Return the URL of the manifest of an index, given as its folder or that of its run; raise
    DedupIndexError where there is none."""
    place = storage.join(locate(url), MANIFEST)
    if not storage.exists(place):
        raise DedupIndexError(
            f"{url} holds no index (no {MANIFEST}, nor index/{MANIFEST}); run its deduplication with "
            "FuzzyDedup.index=fingerprints"
        )
    return place


def open_index(url: str, settings: dict[str, Any], kept_only: bool = False) -> Index:
    """Open and check an index for a stage with these `settings` (those that shape sketches).

    Raises DedupIndexError that names what is missing, truncated, or made differently.
    """
    folder, place = locate(url), manifest_of(url)
    manifest = storage.read_json(place)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        said = manifest.get("format") if isinstance(manifest, dict) else None
        raise DedupIndexError(f"{place} is of format {said}; this version reads format {FORMAT}: make the index anew")
    absent = {"settings", "run_uid", "evidence", "documents", "parts", "files"} - set(manifest)
    if absent:
        raise DedupIndexError(f"{place} says nothing of {', '.join(sorted(absent))}; make the index anew")
    other = {n: manifest["settings"].get(n) for n in settings if manifest["settings"].get(n) != settings[n]}
    if other:
        said = ", ".join(f"{n} {value!r} (here {settings[n]!r})" for n, value in other.items())
        raise DedupIndexError(f"the index {folder} was made with {said}; sketches of other settings cannot be compared")
    for name, whole in manifest["files"].items():
        there = storage.size(storage.join(folder, name))
        if there != whole["bytes"]:
            state = "is missing" if there is None else f"is truncated: {there} of {whole['bytes']} bytes"
            raise DedupIndexError(f"{storage.join(folder, name)} {state}; the index is not used")
    index = Index(folder, manifest, kept_only)
    if kept_only and not storage.exists(storage.join(index.run_folder, "run.json")):
        raise DedupIndexError(f"{index.run_folder} holds no finished run, so which documents it kept is not known")
    if not index.has_fingerprints:
        for part, _ in index.parts:
            if not storage.exists(index.document_file(part)):
                raise DedupIndexError(
                    f"the index {folder} needs the text of its run, and {index.document_file(part)} is gone; "
                    "make it with FuzzyDedup.index=fingerprints"
                )
    return index
