"""One task: take one part through one segment, from file to file.

Text is read in bounded batches and every file is written row group by row group: the memory for text does
not grow with the part. The ledger and the signals of earlier segments are carried along (run/evidence.py).
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curator import frames, ledger
from curator.errors import BadFile
from curator.run import forget
from curator.run.batches import Outcome, Steps
from curator.run.evidence import Evidence
from curator.run.folder import PUBLISHED, WORK_OF_LAST, RunFolder, part_name
from curator.run.marks import Mark, Marks
from curator.schema import arrow_schema
from curator.stage import Batch, CorpusStage, Part, Reader, Stage
from millrace import storage, tables


@dataclass(frozen=True)
class PartTask:
    """Everything a worker needs for one part of one segment."""

    folder: RunFolder
    part: Part
    key: str
    place: str  # folder of the segment below the run; "" for the last segment, which publishes
    before: str | None  # folder of the segment before; None: read the input
    stages: tuple[tuple[int, Stage], ...]  # the reader first, in segment 0
    names: dict[int, str]
    sketches: tuple[tuple[int, CorpusStage], ...]
    columns: dict[str, str]  # of the documents that leave the segment
    batch_bytes: int
    device: str
    limit: int | None
    forgotten: tuple[str, ...] = ()  # ids of documents that must not be read

    def file(self, kind: str, ending: str = ".parquet") -> str:
        """Return the name, below the run folder, of one of the files this task writes."""
        place = self.place or ("" if kind in PUBLISHED else WORK_OF_LAST)
        return "/".join([*([place] if place else []), kind, part_name(self.part.number) + ending])

    @property
    def mark(self) -> str:
        """URL of the done marker."""
        return self.folder.path(self.place or WORK_OF_LAST, "done", part_name(self.part.number) + ".json")


def sketch_kind(index: int, stage: CorpusStage) -> str:
    """Return the name of the folder, in its segment, of a corpus stage's sketches."""
    return f"sketch-{index:02d}-{type(stage).__name__}"


def run_part(task: PartTask) -> Mark:
    """Run one part and return its marker; do nothing but that if a valid marker is there."""
    marks = Marks(task.folder)
    if (mark := marks.valid(task.mark, task.key)) is not None:
        return mark
    began = time.perf_counter()
    try:
        mark = _write_all(task)
    except BadFile as error:
        for kind in ("documents", "ledger", "signals"):
            storage.remove(task.folder.path(task.file(kind)))
        return quarantined(task.part.url, str(error))  # no marker: the next run tries again
    mark["seconds"] = round(time.perf_counter() - began, 4)
    return marks.write(task.mark, mark)


def quarantined(url: str, reason: str) -> Mark:
    """Return the marker of a part whose file cannot be read to its end."""
    return {"key": "", "files": {}, "quarantined": {"file": url, "reason": reason}, "rows": 0, "stages": []}


def _write_all(task: PartTask) -> Mark:
    from curator.kernels import fallback

    steps = Steps([(i, s) for i, s in task.stages if not isinstance(s, Reader)], task.names)
    counted = _Reading()
    examples: list[dict[str, Any]] = []
    before_fallback = fallback.bytes_moved()
    with contextlib.ExitStack() as stack:
        schema = arrow_schema(task.columns)
        compression = "lz4" if task.place else "zstd"  # quick for a checkpoint, small for what stays
        documents = stack.enter_context(
            tables.writing_table(task.folder.path(task.file("documents")), schema, compression)
        )
        written: dict[str, tables.TableWriter] = {task.file("documents"): documents}
        for index, stage in task.sketches:
            name = task.file(sketch_kind(index, stage), ".arrow")
            sketched = arrow_schema({"doc_id": "uint64", **stage.sketches})
            written[name] = stack.enter_context(tables.writing_table(task.folder.path(name), sketched))
        evidence = Evidence(stack, *_evidence_places(task), steps.signal_types)
        for batch in _batches(task, counted):
            outcome = steps.apply(frames.from_arrow(batch.table, task.device))
            counted.characters += outcome.characters
            _write_batch(task, outcome, written)
            evidence.add(ledger.for_unread(batch.unread, task.part.number, task.names[0]), outcome)
            examples += outcome.examples
        written |= {task.file(kind): writer for kind, writer in evidence.finish().items()}
    return {
        "key": task.key,
        "files": {name: writer.checksum for name, writer in written.items()},
        "rows": documents.rows,
        "read": counted.documents,
        "skipped": dict(sorted(counted.skipped.items())),
        "unread": dict(sorted(counted.unread.items())),
        "stages": [asdict(count) for count in (counted.count(task), *steps.counts.values()) if count is not None],
        "examples": examples,
        "kernel_fallback_bytes": fallback.bytes_moved() - before_fallback,
    }


def _evidence_places(task: PartTask) -> tuple[dict[str, str], dict[str, str] | None]:
    """Return the URLs of ledger and signals, of this segment and of the one before."""
    name = part_name(task.part.number) + ".parquet"
    here = {kind: task.folder.path(task.file(kind)) for kind in ("ledger", "signals")}
    before = {kind: task.folder.path(task.before, kind, name) for kind in here} if task.before is not None else None
    return here, before


def _write_batch(task: PartTask, outcome: Outcome, written: dict[str, tables.TableWriter]) -> None:
    for index, stage in task.sketches:
        sketch = frames.to_arrow(stage.sketch(outcome.frame))
        sketch = sketch.append_column("doc_id", frames.column_to_arrow(outcome.frame["doc_id"]))
        written[task.file(sketch_kind(index, stage), ".arrow")].write(sketch)
    written[task.file("documents")].write(frames.to_arrow(outcome.frame[list(task.columns)]))


class _Reading:
    """What came out of a reader."""

    def __init__(self) -> None:
        self.documents = self.characters = 0
        self.seconds = 0.0
        self.skipped: Counter[str] = Counter()
        self.unread: Counter[str] = Counter()

    def add(self, batch: Batch) -> None:
        self.documents += len(batch.table) + len(batch.unread)
        self.skipped.update(batch.skipped)
        self.unread.update(item.reason for item in batch.unread)

    def count(self, task: PartTask) -> Any:
        from curator.run.batches import StageCount

        index, stage = task.stages[0] if task.stages else (0, None)
        if not isinstance(stage, Reader):
            return None
        lost = sum(self.unread.values())
        return StageCount(
            task.names[index], index, self.documents, self.documents - lost, self.characters, self.characters,
            self.seconds, dict(self.unread),
        )  # fmt: skip


def _batches(task: PartTask, reading: _Reading) -> Iterator[Batch]:
    """Yield the part's batches: from its input, or from the checkpoint of the segment before."""
    reader = task.stages[0][1] if task.stages else None
    if isinstance(reader, Reader):
        source = forget.without(_limited(reader.read(task.part, task.batch_bytes), task.limit), task.forgotten)
    else:
        source = _checkpoint(task)
    while True:
        began = time.perf_counter()
        batch = next(source, None)
        reading.seconds += time.perf_counter() - began
        if batch is None:
            return
        reading.add(batch) if isinstance(reader, Reader) else None
        yield batch


def _checkpoint(task: PartTask) -> Iterator[Batch]:
    assert task.before is not None
    url = task.folder.path(task.before, "documents", part_name(task.part.number) + ".parquet")
    with tables.open_parquet(url) as file:
        for group in range(file.num_row_groups):
            yield Batch(file.read_row_group(group, use_threads=False))


def _limited(batches: Iterator[Batch], limit: int | None) -> Iterator[Batch]:
    """Stop after `limit` documents, unread ones included."""
    if limit is None:
        yield from batches
        return
    left = limit
    for batch in batches:
        if left <= 0:
            return
        rows = pc.bit_wise_and(batch.table["doc_id"], pa.scalar(0xFFFFFFFF, pa.uint64()))
        order = sorted([*rows.to_pylist(), *(u.row for u in batch.unread)])
        if len(order) > left:
            end = order[left]
            table = batch.table.filter(pc.less(rows, pa.scalar(end, pa.uint64())))
            batch = Batch(table, [u for u in batch.unread if u.row < end], batch.skipped)
            order = order[:left]
        left -= len(order)
        yield batch
