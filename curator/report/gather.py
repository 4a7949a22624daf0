"""Numbers out of a run folder, in one pass over ledger, signals and kept documents, a row group at a time."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from curator import spec
from curator.errors import RunError
from curator.report import contamination
from curator.report.copies import Copies, Removals, copies
from curator.report.explorer import Explorer, explore
from curator.report.spread import Limit, Spread
from curator.retune import filters as deciding
from curator.retune.filters import Filters
from curator.run.checkpoints import Checkpoint, Key, checkpoints
from curator.run.edits import Cuts, cuts
from curator.run.folder import RunFolder
from curator.stage import Stage
from millrace import storage, tables

SAID = 1000  # different texts of evidence (languages, errors) counted for one reason; the rest as `others`
SAID_CHARACTERS = 80  # of each

# Name, settings, class where it is known; only filters are built, for files of others may be gone by now.
Staged = tuple[str, dict[str, Any], type[Stage] | None]


@dataclass(frozen=True)
class Signal:
    """A measurement, how it is spread, and whose it is."""

    name: str
    stage: int  # the first filter that measures it
    spread: Spread


@dataclass(frozen=True)
class Facts:
    """All that a report says."""

    name: str  # of the run folder
    run: dict[str, Any]  # run.json
    files: list[tuple[str, int]]  # URL and bytes of each input
    stages: list[Staged]
    reasons: dict[Key, int]  # documents in the ledger, in the order of the pipeline
    said: dict[Key, Counter[str]]  # evidence that is no number
    signals: list[Signal]
    examples: dict[Key, list[dict[str, Any]]]
    copies: list[Copies]
    elsewhere: dict[int, int]  # by stage: documents removed for one of another run
    manifest: dict[str, Any] | None  # of the tokens
    lengths: Spread | None  # tokens a kept document
    contamination: dict[str, Any] | None  # contamination.json
    explorer: Explorer | None  # where filters decided by signals
    edits: list[Cuts]


@dataclass
class _Tally:
    """What one pass over the ledger counts."""

    reasons: Counter[Key] = field(default_factory=Counter)
    said: dict[Key, Counter[str]] = field(default_factory=dict)
    removals: Removals = field(default_factory=Removals)


def gather(folder: RunFolder) -> Facts:
    """Return the facts of a finished run.

    Memory: a row group, a few thousand counters a signal, and 20 bytes for each document that was
    removed for a witness. Raises RunError where there is no run or its work folder was cleaned.
    """
    folder.require()
    run = storage.read_json(folder.summary)
    made = checkpoints(folder, run)
    stages = [(name, settings, spec.stage_class(name)) for item in run["pipeline"] for name, settings in item.items()]
    filters = _filters(run)
    spreads = _signals(folder, _limits(filters))
    owners = _owners(filters)
    signals = [Signal(name, owners[name], spread) for name, spread in spreads.items() if name in owners]
    tally = _ledger(folder)
    lengths = _lengths(folder)
    packed = run["tokens"] is not None
    return Facts(
        name=folder.url.rstrip("/").rpartition("/")[2],
        run=run,
        files=_files(folder),
        stages=stages,
        reasons=dict(sorted(tally.reasons.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))),
        said=tally.said,
        signals=sorted(signals, key=lambda signal: signal.stage),
        examples={key: few for one in made for key, few in one.examples.items()},
        copies=copies(tally.removals, folder, _places(made)),
        elsewhere=dict(sorted(tally.removals.elsewhere.items())),
        manifest=storage.read_json(folder.path("tokens", "manifest.json")) if packed else None,
        lengths=lengths if lengths.values else None,
        contamination=contamination.found(folder),
        explorer=explore(folder, filters, spreads) if filters else None,
        edits=cuts(folder),
    )


def _filters(run: dict[str, Any]) -> Filters | None:
    """Return what decided by signals in the run, if anything did."""
    try:
        return deciding.of_run(run)
    except RunError:
        return None


def _limits(filters: Filters | None) -> dict[str, tuple[Limit, ...]]:
    """Return the limits of each signal, out of the rules of all filters and their settings in this run."""
    limits: dict[str, tuple[Limit, ...]] = {}
    for decider in filters.deciders if filters else ():
        for rule in decider.stage.rules:
            value = getattr(decider.stage, rule.limit)
            if value is not None:
                limit = Limit(rule.limit, float(value), rule.below, decider.index, rule.reason)
                limits[rule.signal] = (*limits.get(rule.signal, ()), limit)
    return limits


def _owners(filters: Filters | None) -> dict[str, int]:
    """Return, for each signal, the first filter that measures it."""
    owners: dict[str, int] = {}
    for decider in filters.deciders if filters else ():
        for name in decider.stage.stored():
            owners.setdefault(name, decider.index)
    return owners


def _places(made: list[Checkpoint]) -> dict[int, str]:
    """Return, for each stage, the folder of the documents that the segment before its own left."""
    return {index: before.place for before, one in itertools.pairwise(made) for index in one.stages}


def _files(folder: RunFolder) -> list[tuple[str, int]]:
    found = {item["url"]: item["bytes"] for item in storage.read_json(folder.inputs)["parts"]}
    return sorted(found.items())


def _pieces(folder: RunFolder, kind: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield the row groups of all parts, in order; of `columns` those that are there."""
    for name in storage.list_folder(folder.path(kind)):
        with tables.open_parquet(folder.path(kind, name)) as file:
            there = None if columns is None else [c for c in columns if c in file.schema_arrow.names]
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=there, use_threads=False)


def _signals(folder: RunFolder, limits: dict[str, tuple[Limit, ...]]) -> dict[str, Spread]:
    """Return the spread of every signal that is a number."""
    spreads: dict[str, Spread] = {}
    for table in _pieces(folder, "signals"):
        for entry in table.schema:
            if entry.name != "doc_id" and (pa.types.is_integer(entry.type) or pa.types.is_floating(entry.type)):
                spreads.setdefault(entry.name, Spread(limits.get(entry.name, ()))).add(table[entry.name])
    return spreads


def _ledger(folder: RunFolder) -> _Tally:
    tally = _Tally()
    columns = ["doc_id", "stage_index", "reason", "value_text", "threshold", "witness", "witness_run", "similarity"]
    for table in _pieces(folder, "ledger", columns):
        by = ["stage_index", "reason", "value_text"]
        for row in table.group_by(by, use_threads=False).aggregate([([], "count_all")]).to_pylist():
            key = (row["stage_index"], row["reason"])
            tally.reasons[key] += row["count_all"]
            if row["value_text"]:
                _say(tally.said.setdefault(key, Counter()), row["value_text"], row["count_all"])
        tally.removals.add(table)
    return tally


def _say(counter: Counter[str], text: str, count: int) -> None:
    text = text[:SAID_CHARACTERS]
    counter[text if text in counter or len(counter) < SAID else "others"] += count


def _lengths(folder: RunFolder) -> Spread:
    """Return the spread of the kept documents' lengths in tokens."""
    lengths = Spread()
    for table in _pieces(folder, "documents", ["n_tokens"]):
        for column in table.columns:
            lengths.add(column)
    return lengths
