"""Run a pipeline: register the input, take every part through every segment, fit between them, sum up.

Every piece of work has a key, a digest of all that shapes it. What a valid marker holds under the same
key is not done again; so a resumed run redoes only what is missing, and a changed setting only what follows.
"""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from curator import spec
from curator.cluster import Cluster, choose_device, open_cluster
from curator.errors import InputError, RunError
from curator.fingerprint import digest, of_sketch, of_stage
from curator.pipeline import Pipeline, check_columns
from curator.run import summary
from curator.run.corpus import Corpus, Fitted, Sketches, without
from curator.run.folder import INDEX, PUBLISHED, WORK_OF_LAST, RunFolder
from curator.run.forget import Forgotten, of_part, remember
from curator.run.marks import Mark, Marks
from curator.run.part import PartTask, quarantined, run_part, sketch_kind
from curator.run.plan import Segment, cut, late_filters
from curator.run.register import Input, mark_used, register
from curator.stage import CorpusStage, Filter, Mapper, Stage
from millrace import storage
from millrace.progress import Progress

SCRATCH = "work/scratch"  # what the corpus stage that is being fitted deals between tasks
BATCH_MB = 16  # text of one batch; a worker holds a few copies of it


@dataclass(frozen=True)
class Result:
    """What a run came to; run.json holds the same and more."""

    folder: str
    summary: dict[str, Any]

    @property
    def quarantined(self) -> list[dict[str, str]]:
        """Files that could not be read, with the reason."""
        return list(self.summary["quarantined"])

    @property
    def documents(self) -> int:
        """Documents kept."""
        return int(self.summary["documents"])


def run(
    pipeline: Pipeline,
    output: str,
    *,
    workers: int | None = None,  # 0: in this process; None: one a core
    scheduler: str | None = None,  # address of a running Dask scheduler
    device: str = "auto",
    limit: int | None = None,  # read only so many documents
    strict: bool = False,  # stop at the first unreadable file
    forget: Collection[str] = (),  # ids of documents to forget, for good; see curator.run.forget
    batch_mb: float = BATCH_MB,
    quiet: bool = True,
) -> Result:
    """Run a pipeline into a folder, or finish what an earlier run into it left undone.

    Raises a CuratorError for a user's mistake and whatever a stage raises for its own; what was
    finished by then stays, and running again resumes.
    """
    progress = Progress(quiet)
    folder = RunFolder(storage.absolute(output))
    segments = cut(pipeline)
    for stage in pipeline.stages:
        stage.check(folder.url)
    device = choose_device(device, progress.say)
    for late in late_filters(pipeline):
        progress.say(f"note: {late} comes after deduplication: it may drop the kept copy of a duplicate")
    folder.claim()
    if limit is not None and storage.exists(folder.summary) and storage.read_json(folder.summary)["limit"] is None:
        raise RunError(f"{folder.url} holds a whole run, which a --limit would replace; choose another --output")
    began = time.time()
    with folder.locked():
        storage.remove_leftovers(folder.url)
        inputs = register(pipeline, folder.inputs)
        forgotten = remember(folder, forget, progress.say)
        if not any(INDEX in stage.publishes for stage in pipeline.stages if isinstance(stage, CorpusStage)):
            storage.remove(folder.path(INDEX))  # of an earlier run into this folder, and no longer true
        with open_cluster(workers, scheduler, device) as cluster:
            if cluster.dashboard:
                progress.say(f"dashboard: {cluster.dashboard}")
            for name in (folder.summary, folder.path("report.html")):
                storage.remove(name)  # from here on they would describe another state
            job = _Job(
                pipeline, folder, segments, cluster, device, progress, int(batch_mb * 1e6), limit, strict, forgotten
            )
            if forgotten:
                job.drop_other_segments()
            marks = job.run(inputs)
            if forgotten:
                job.drop_other_fits()
        passed = max((sum("quarantined" not in m for m in ms) for ms in marks.values()), default=0)  # segments
        result = summary.write(
            folder,
            pipeline,
            marks,
            job.used,
            segments=[job.place_of(segment) or WORK_OF_LAST for segment in segments[:passed]],
            limit=limit,
            fit_seconds={index: fitted.seconds for index, fitted in job.fitted.items()},
            seconds=time.time() - began,
            workers=cluster.workers,
            device=device,
        )
    return Result(folder.url, result)


@dataclass
class _Job:
    pipeline: Pipeline
    folder: RunFolder
    segments: list[Segment]
    cluster: Cluster
    device: str
    progress: Progress
    batch_bytes: int
    limit: int | None
    strict: bool
    forgotten: Forgotten

    def __post_init__(self) -> None:
        self.names = {i: type(stage).__name__ for i, stage in enumerate(self.pipeline.stages)}
        self.prints = [of_stage(stage) for stage in self.pipeline.stages]
        self.fitted: dict[int, Fitted] = {}
        self.keys: dict[int, str] = {}  # part -> key of its latest segment
        self.used: list[Input] = []
        self.sources: dict[int, str] = {}

    def run(self, inputs: list[Input]) -> dict[int, list[Mark]]:
        """Run all segments; return each part's markers, a segment each."""
        marks: dict[int, list[Mark]] = {}
        self.sources = {item.part.number: item.part.source for item in inputs}
        for segment in self.segments:
            if segment.number == 0:
                self.used, done = self._first(segment, inputs)
            else:
                live = [i for i in inputs if i.part.number in marks and "quarantined" not in marks[i.part.number][0]]
                done = self._segment(segment, live)
            for number, mark in done.items():
                marks.setdefault(number, []).append(mark)
            alive = sorted(n for n, mark in done.items() if "quarantined" not in mark)
            self._fit_all(segment, {number: done[number]["rows"] for number in alive})
        self._publish(marks)
        return marks

    def _first(self, segment: Segment, inputs: list[Input]) -> tuple[list[Input], dict[int, Mark]]:
        """Run the segment that reads; with a limit, part after part until it is reached."""
        if self.limit is None:
            done = self._segment(segment, inputs)
        else:
            done, used, left = {}, [], self.limit
            for item in inputs:
                if left <= 0:
                    break
                used.append(item)
                done |= self._segment(segment, [item], left)
                left -= done[item.part.number].get("read", 0)
            inputs = used
        done = _whole_files(inputs, done)
        mark_used(self.folder.inputs, [n for n, mark in done.items() if "quarantined" not in mark])
        return inputs, done

    def _segment(self, segment: Segment, inputs: list[Input], limit: int | None = None) -> dict[int, Mark]:
        tasks = [self._task(segment, item, limit) for item in inputs]
        done: dict[int, Mark] = {}
        label = f"pass {segment.number + 1} of {len(self.segments)}"
        with self.progress.steps(label, len(tasks)) as step:
            for position, mark in self.cluster.map(run_part, tasks):
                part = tasks[position].part
                done[part.number] = mark
                self.keys[part.number] = tasks[position].key
                if "quarantined" in mark:
                    said = f"{part.url}: {mark['quarantined']['reason']}"
                    if self.strict:
                        raise InputError(f"--strict: {said}")
                    self.progress.say(f"quarantined: {said}")
                step()
        return dict(sorted(done.items()))

    def _print_until(self, segment: Segment) -> str:
        """Fingerprint of everything a segment's parts go through, sketches included."""
        last = max([-1, *(i for i, _ in segment.stages)])
        sketched = [[index, of_sketch(stage)] for index, stage in segment.sketches]
        return digest(self.prints[: last + 1], sketched, self._columns(segment))

    def place_of(self, segment: Segment) -> str:
        """Return the folder of a segment below the run; "" for the last one, which publishes."""
        return "" if segment.last else f"work/segment-{segment.number}-{self._print_until(segment)}"

    def drop_other_segments(self) -> None:
        """Delete the checkpoints of other settings: nobody would write over what they hold of a document."""
        wanted = {self.place_of(segment) for segment in self.segments}
        for name in storage.list_folder(self.folder.work):
            if name.startswith("segment-") and f"work/{name}" not in wanted:
                storage.remove(self.folder.path("work", name))

    def drop_other_fits(self) -> None:
        """Delete lists of other settings or of an earlier state: they name documents that are gone."""
        wanted = {f"fit-{index:02d}-{self.names[index]}-{fitted.key}" for index, fitted in self.fitted.items()}
        for name in storage.list_folder(self.folder.work):
            if name.startswith("fit-") and name.removesuffix(".json") not in wanted:
                storage.remove(self.folder.path("work", name))

    def _columns(self, segment: Segment) -> dict[str, str]:
        """Columns of the documents that leave a segment."""
        stages = self.pipeline.stages
        end = max([0, *(i for i, _ in segment.stages)]) + 1
        columns = check_columns(stages[:end])
        if segment.last:
            for _, stage in segment.fits:
                for name in stage.drops:
                    columns.pop(name, None)
        return columns

    def _task(self, segment: Segment, item: Input, limit: int | None) -> PartTask:
        number = item.part.number
        stages: list[tuple[int, Stage]] = []
        depends: list[Any] = []
        for index, stage in segment.stages:
            if isinstance(stage, CorpusStage):
                fitted = self.fitted[index]
                assert fitted.stage is not None
                depends.append(fitted.applied_key(number))
                stage = fitted.stage
            stages.append((index, stage))
        if segment.number == 0:
            before = None
            depends.append([item.part.url, item.part.source, item.part.split, item.bytes, item.stamp, limit])
            depends.append(of_part(self.forgotten, number))
        else:
            before = self.place_of(self.segments[segment.number - 1])
            depends.append(self.keys[number])
        key = digest(self._print_until(segment), number, depends, segment.last)
        return PartTask(
            self.folder, item.part, key, self.place_of(segment), before, tuple(stages), self.names,
            tuple(segment.sketches), self._columns(segment), self.batch_bytes, self.device, limit,
            tuple(self.forgotten) if segment.number == 0 else (),
        )  # fmt: skip

    def _fit_all(self, segment: Segment, rows: dict[int, int]) -> None:
        """Fit the corpus stages of a segment; `rows`: documents that each part has left in it."""
        parts = tuple(rows)
        documents = "/".join(filter(None, [self.place_of(segment), "documents"]))
        corpus = Corpus(
            parts,
            tuple(rows.values()),
            tuple(self.sources[number] for number in parts),
            Sketches(self.folder, "", {}, documents),
            "",
            self.cluster,
            self.device,
            self.progress,
            tuple(self.fitted[index].stage for index in sorted(self.fitted)),
            self.names,
        )
        keys = [self.keys[number] for number in parts]
        for index, stage in segment.fits:
            sketched = next(s for s in self.segments if (index, stage) in s.sketches)
            alive = dataclasses.replace(
                corpus.alive,
                place=f"{self.place_of(sketched) or WORK_OF_LAST}/{sketch_kind(index, stage)}",
                columns=dict(stage.sketches),
                earlier=sketched is not segment,
            )
            corpus = dataclasses.replace(corpus, alive=alive)
            key = digest(self.prints[index], keys, [self.fitted[i].key for i, _ in segment.fits if i < index])
            self.fitted[index] = self._fit(index, stage, corpus, key)
            corpus = without(corpus, self.fitted[index].stage)

    def _fit(self, index: int, stage: CorpusStage, corpus: Corpus, key: str) -> Fitted:
        name = f"fit-{index:02d}-{type(stage).__name__}-{key}"
        marker = self.folder.path("work", name + ".json")
        places = [stage.output or f"work/{name}", *stage.publishes]
        mark = Marks(self.folder).valid(marker, key)
        if mark is None:
            began = time.perf_counter()
            for place in (SCRATCH, *stage.publishes):
                storage.remove(self.folder.path(place))
            with self._said(f"fitting {type(stage).__name__}"):
                corpus = dataclasses.replace(corpus, scratch=self.folder.path(SCRATCH))
                fitted = stage.fit(corpus, self.folder.path(places[0]))
            storage.remove(self.folder.path(SCRATCH))
            mark = {
                "key": key,
                "files": {name: sums for place in places for name, sums in _files_below(self.folder, place).items()},
                "stage": _said(fitted, self.folder),
                "seconds": time.perf_counter() - began,
            }
            Marks(self.folder).write(marker, mark)
        return Fitted(_unsaid(mark["stage"], self.folder), key, mark["seconds"])

    @contextmanager
    def _said(self, label: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.progress.say(f"{label:<28} {time.monotonic() - began:.1f} s")

    def _publish(self, marks: dict[int, list[Mark]]) -> None:
        """Delete what an earlier run into this folder published and this one does not hold; what this one
        holds must be there, which it is not where workers write to disks of their own."""
        wanted = {name for ms in marks.values() for name in ms[-1]["files"]}
        for kind in PUBLISHED:
            there = {f"{kind}/{name}" for name in storage.list_folder(self.folder.path(kind))}
            for name in there - wanted:
                storage.remove(self.folder.path(name))
            missing = sorted(name for name in wanted - there if name.startswith(kind + "/"))
            if missing:
                raise RunError(f"{self.folder.path(missing[0])} was written and is not there; do all workers see it?")


def _files_below(folder: RunFolder, place: str) -> dict[str, Any]:
    from millrace import tables

    return {
        f"{place}/{name}": tables.checksum(folder.path(place, name)) for name in storage.list_folder(folder.path(place))
    }


def _whole_files(inputs: list[Input], done: dict[int, Mark]) -> dict[int, Mark]:
    """Leave out every part of a file of which one part is bad: a quarantined file gives nothing."""
    url = {item.part.number: item.part.url for item in inputs}
    bad = {url[n]: mark["quarantined"]["reason"] for n, mark in done.items() if "quarantined" in mark}
    return {n: quarantined(url[n], bad[url[n]]) if url[n] in bad else mark for n, mark in done.items()}


RUN = "{run}"  # stands for the run folder in what a fit returned, for a folder may be moved


def _said(stage: Mapper | Filter | None, folder: RunFolder) -> dict[str, Any] | None:
    if stage is None:
        return None
    values = {
        name: RUN + value.removeprefix(folder.url) if isinstance(value, str) and value.startswith(folder.url) else value
        for name, value in spec.fields(stage).items()
    }
    return {"module": type(stage).__module__, "name": type(stage).__name__, "fields": values}


def _unsaid(said: dict[str, Any] | None, folder: RunFolder) -> Any:
    if said is None:
        return None
    values = {
        name: folder.url + value.removeprefix(RUN) if isinstance(value, str) and value.startswith(RUN) else value
        for name, value in said["fields"].items()
    }
    return getattr(importlib.import_module(said["module"]), said["name"])(**values)


def planned(pipeline: Pipeline) -> list[str]:
    """Describe the segments of a pipeline, a line each."""
    lines = []
    segments = cut(pipeline)
    for segment in segments:
        names = [type(s).__name__ for _, s in segment.stages] or ["nothing"]
        lines.append(f"pass {segment.number + 1}: {', '.join(names)}")
        if segment.sketches:
            lines.append(f"        sketches for {', '.join(type(s).__name__ for _, s in segment.sketches)}")
        lines += [f"fit {type(s).__name__}" for _, s in segment.fits]
    lines += [f"note: {n} comes after deduplication" for n in late_filters(pipeline)]
    return lines
