"""What a corpus stage sees when it fits: sketches of the documents still alive, and a way back to text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from curator import frames
from curator.cluster import Cluster
from curator.rejections import RejectListed
from curator.run.folder import RunFolder, part_name
from curator.schema import arrow_schema
from curator.stage import Filter, Frame, Mapper
from millrace import storage, tables
from millrace.progress import Progress

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Corpus:
    """The documents at the end of a segment, less those that corpus stages fitted before have rejected."""

    folder: RunFolder
    parts: tuple[int, ...]  # part numbers, ascending
    documents: str  # folder of the segment's documents, below the run
    sketch_place: str  # folder of this stage's sketches, below the run
    sketch_columns: dict[str, str]  # what they hold beside doc_id, name -> type name
    cluster: Cluster
    device: str
    progress: Progress
    fitted: tuple[Mapper | Filter | None, ...] = ()  # what the corpus stages fitted before have returned
    rejected: tuple[np.ndarray, ...] = ()  # doc_id uint64, ascending, of each of them that rejects
    sketched_earlier: bool = False  # in a segment before this one, so some documents are gone since

    def sketches(self, *columns: str) -> Iterator[tuple[int, pa.Table]]:
        """Yield (part, table of doc_id and `columns`), one row a document still alive, by doc_id."""
        for part in self.parts:
            url = self.folder.path(self.sketch_place, part_name(part) + ".arrow")
            table = tables.read_table(url, ["doc_id", *columns])
            ids = table["doc_id"].to_numpy()
            alive = self._alive(part, ids)
            yield part, table if alive.all() else table.filter(pa.array(alive))

    def sketched(self, *columns: str) -> pa.Table:
        """Return the sketches of all parts as one table; of no part, an empty one."""
        kinds = {"doc_id": "uint64", **{name: self.sketch_columns[name] for name in columns}}
        none = arrow_schema(kinds).empty_table()
        return pa.concat_tables([none, *(table for _, table in self.sketches(*columns))])

    def _alive(self, part: int, ids: np.ndarray) -> np.ndarray:
        alive = np.ones(len(ids), bool)
        if self.sketched_earlier:
            url = self.folder.path(self.documents, part_name(part) + ".parquet")
            alive &= np.isin(ids, tables.read_table(url, ["doc_id"])["doc_id"].to_numpy())
        for gone in self.rejected:
            low, high = np.searchsorted(gone, [part << 32, (part + 1) << 32])
            alive &= ~np.isin(ids, gone[low:high])
        return alive

    def evidence(
        self, ids: np.ndarray, columns: tuple[str, ...], look: Callable[[Frame], Any]
    ) -> Iterator[tuple[np.ndarray, Any]]:
        """Reread documents by ascending doc_id and yield (their doc_ids, what `look` makes of them).

        `look` runs in a task a part, on a frame of doc_id and `columns`; only parts that hold any of
        `ids` are read. Results come in the order of the parts, however the tasks end.
        """
        bounds = {part: np.searchsorted(ids, [part << 32, (part + 1) << 32]) for part in self.parts}
        tasks = [
            _Look(self.folder.path(self.documents, part_name(part) + ".parquet"),
                  ids[low:high], columns, look, self.device)
            for part, (low, high) in bounds.items()
            if high > low
        ]  # fmt: skip
        results = self.map("rereading candidates", _look, tasks)
        return ((task.ids, result) for task, result in zip(tasks, results, strict=True))

    def map(self, label: str, function: Callable[[T], R], items: list[T]) -> list[R]:
        """Run `function` on every item, in parallel; return the results in order."""
        results: list[Any] = [None] * len(items)
        with self.progress.steps(label, len(items)) as step:
            for position, result in self.cluster.map(function, items):
                results[position] = result
                step()
        return results

    def result(self, kind: type[R]) -> R | None:
        """Return what an earlier corpus stage returned, by its class, or None."""
        return next((stage for stage in reversed(self.fitted) if isinstance(stage, kind)), None)

    def say(self, line: str) -> None:
        """Tell the user something that decides what comes out."""
        self.progress.say(line)


@dataclass(frozen=True)
class _Look:
    url: str
    ids: np.ndarray
    columns: tuple[str, ...]
    look: Callable[[Frame], Any]
    device: str


def _look(task: _Look) -> Any:
    wanted = []
    with tables.open_parquet(task.url) as file:
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["doc_id"], use_threads=False)["doc_id"].to_numpy()
            mask = np.isin(ids, task.ids)
            if mask.any():
                table = file.read_row_group(group, columns=["doc_id", *task.columns], use_threads=False)
                wanted.append(table.filter(pa.array(mask)))
    return task.look(frames.from_arrow(pa.concat_tables(wanted), task.device))


@dataclass(frozen=True)
class Fitted:
    """A corpus stage's result: the stage that applies it, and where its files lie."""

    stage: Mapper | Filter | None
    key: str
    seconds: float  # that fitting took

    def applied_key(self, folder: RunFolder, part: int) -> str:
        """Return what a part's outcome depends on: a list of rejections counts only if it names the part."""
        if isinstance(self.stage, RejectListed):
            url = self.stage.file(part)
            return str(tables.checksum(url)["xxh3"]) if storage.exists(url) else "none"
        return self.key


def without(corpus: Corpus, stage: Mapper | Filter | None) -> Corpus:
    """Return the corpus as the next stage sees it, after `stage` has been fitted."""
    gone = (stage.all_ids(),) if isinstance(stage, RejectListed) else ()
    return replace(corpus, fitted=(*corpus.fitted, stage), rejected=(*corpus.rejected, *gone))
