"""What a corpus stage sees when it fits: sketches of the documents still alive, and a way back to text.

Two ways to work. Small corpora of small sketches: `sketched` gives one table. Any corpus: tasks read the
sketches of a few parts each (`groups`), deal rows into an exchange, and tasks again read a range each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from curator import frames
from curator.cluster import Cluster
from curator.rejections import RejectListed
from curator.run.exchange import Exchange
from curator.run.folder import RunFolder, part_name
from curator.schema import arrow_schema
from curator.stage import Filter, Frame, Mapper
from millrace import storage, tables
from millrace.progress import Progress

R = TypeVar("R")
T = TypeVar("T")

TASK_ROWS = 4_000_000  # rows of 16 bytes that one task deals or joins: some 300 MB while it sorts them


@dataclass(frozen=True)
class Sketches:
    """The sketches of one corpus stage, less those of documents that are gone. Goes to any task."""

    folder: RunFolder
    place: str  # folder of the sketches, below the run
    columns: dict[str, str]  # what they hold beside doc_id, name -> type name
    documents: str  # folder of the segment's documents, below the run
    rejecting: tuple[RejectListed, ...] = ()  # what was fitted before, in this segment, and rejects
    earlier: bool = False  # sketched in a segment before this one, so some documents are gone since

    def read(self, part: int, *columns: str) -> pa.Table:
        """Return doc_id and `columns`, one row a document still alive, by doc_id."""
        table = tables.read_table(self.folder.path(self.place, part_name(part) + ".arrow"), ["doc_id", *columns])
        ids = table["doc_id"].to_numpy()
        alive = np.ones(len(ids), bool)
        if self.earlier:
            alive &= np.isin(ids, tables.read_table(self.document_file(part), ["doc_id"])["doc_id"].to_numpy())
        for stage in self.rejecting:
            alive &= ~np.isin(ids, stage.ids(part))
        return table if alive.all() else table.filter(pa.array(alive))

    def read_all(self, parts: tuple[int, ...], *columns: str) -> pa.Table:
        """Return the sketches of some parts as one table; of no part, an empty one."""
        kinds = {"doc_id": "uint64", **{name: self.columns[name] for name in columns}}
        none = arrow_schema(kinds).empty_table()
        return pa.concat_tables([none, *(self.read(part, *columns) for part in parts)])

    def document_file(self, part: int) -> str:
        """Return the URL of a part's documents as they are at this stage."""
        return self.folder.path(self.documents, part_name(part) + ".parquet")


@dataclass(frozen=True)
class Corpus:
    """The documents at the end of a segment, less those that corpus stages fitted before have rejected."""

    parts: tuple[int, ...]  # part numbers, ascending
    rows: tuple[int, ...]  # documents of each part at the end of the segment
    sources: tuple[str, ...]  # source of each part
    alive: Sketches
    scratch: str  # URL of a folder for exchanges; gone once the stage is fitted
    cluster: Cluster
    device: str
    progress: Progress
    fitted: tuple[Mapper | Filter | None, ...] = ()  # what the corpus stages fitted before have returned
    names: dict[int, str] = field(default_factory=dict)  # of the pipeline's stages

    @property
    def folder(self) -> RunFolder:
        """The run."""
        return self.alive.folder

    def sketches(self, *columns: str) -> Iterator[tuple[int, pa.Table]]:
        """Yield (part, table of doc_id and `columns`), one row a document still alive, by doc_id."""
        for part in self.parts:
            yield part, self.alive.read(part, *columns)

    def sketched(self, *columns: str) -> pa.Table:
        """Return the sketches of all parts as one table."""
        return self.alive.read_all(self.parts, *columns)

    def groups(self, rows: int = TASK_ROWS) -> list[tuple[int, ...]]:
        """Cut the parts into runs of consecutive ones with about so many documents, for a task each."""
        return consecutive(self.parts, self.rows, rows)

    def exchange(self, name: str, rows: int, task_rows: int = TASK_ROWS) -> Exchange:
        """Return an empty exchange with as many ranges as `rows` rows need for a task each."""
        return Exchange(storage.join(self.scratch, name), max(1, -(-rows // task_rows)))

    def evidence(
        self, ids: np.ndarray, columns: tuple[str, ...], look: Callable[[Frame], Any]
    ) -> Iterator[tuple[np.ndarray, Any]]:
        """Reread documents by ascending doc_id and yield (their doc_ids, what `look` makes of them).

        `look` runs in a task a part, on a frame of doc_id and `columns`; only parts that hold any of
        `ids` are read. Results come in the order of the parts, however the tasks end.
        """
        bounds = {part: np.searchsorted(ids, [part << 32, (part + 1) << 32]) for part in self.parts}
        tasks = [
            Reread(self.alive.document_file(part), ids[low:high], columns, self.device, look)
            for part, (low, high) in bounds.items()
            if high > low
        ]
        results = self.map("rereading candidates", reread, tasks)
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


def consecutive(items: Sequence[T], sizes: Sequence[int], most: int) -> list[tuple[T, ...]]:
    """Cut items into runs whose sizes come to `most` at most; a larger item is a run of its own."""
    found: list[list[T]] = []
    room = 0
    for item, size in zip(items, sizes, strict=True):
        if not found or size > room:
            found.append([])
            room = most
        found[-1].append(item)
        room -= size
    return [tuple(group) for group in found]


@dataclass(frozen=True)
class Reread:
    """Some documents of one part, and what to make of them."""

    url: str
    ids: np.ndarray  # doc_id uint64, ascending
    columns: tuple[str, ...]
    device: str
    look: Callable[[Frame], Any]


def reread(task: Reread) -> Any:
    """Read the row groups that hold the documents; return what `look` makes of those alone."""
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

    def applied_key(self, part: int) -> str:
        """Return what a part's outcome depends on: lists count only as far as they name the part."""
        listed = getattr(self.stage, "file", None)
        if listed is None:
            return self.key
        url = listed(part)
        return str(tables.checksum(url)["xxh3"]) if storage.exists(url) else "none"


def without(corpus: Corpus, stage: Mapper | Filter | None) -> Corpus:
    """Return the corpus as the next stage sees it, after `stage` has been fitted."""
    more = (stage,) if isinstance(stage, RejectListed) else ()
    alive = replace(corpus.alive, rejecting=(*corpus.alive.rejecting, *more))
    return replace(corpus, alive=alive, fitted=(*corpus.fitted, stage))
