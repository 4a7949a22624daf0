"""Two runs side by side: settings that differ, and documents, by id, of which one run alone kept."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xxhash

from curator import spec
from curator.kernels.arrow import each
from curator.run.documents import read_documents
from curator.run.folder import RunFolder
from millrace import storage, tables

PASS_ROWS = 8_000_000  # documents of a run compared in one pass over the ids
EXAMPLES = 3  # documents shown of those that one run alone kept
EXCERPT = 100  # characters of each
KEPT, UNREAD = "kept", "not read"

# what is known of a document: hash of its id, which of the documents of that id it is, doc_id, outcome
DOCUMENT = np.dtype([("key", "u8"), ("nth", "i4"), ("outcome", "i4"), ("doc_id", "u8")])


@dataclass
class Diff:
    """How two runs differ. Outcomes are KEPT, UNREAD, or `Stage: reason`."""

    runs: tuple[RunFolder, RunFolder]
    settings: list[tuple[str, Any, Any]]  # `Stage.field` or a stage, and what it is on either side
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)  # documents, by both outcomes
    examples: dict[int, list[tuple[str, str, str]]] = field(default_factory=dict)
    # by the run that alone kept them: (id, outcome in the other, beginning of the text)

    def count(self, kept_here: bool, kept_there: bool) -> int:
        """Return how many documents of either run were kept by each."""
        return sum(
            number
            for (here, there), number in self.outcomes.items()
            if (here == KEPT) == kept_here and (there == KEPT) == kept_there
        )


def diff(here: RunFolder, there: RunFolder) -> Diff:
    """Compare two finished runs; documents are matched by `id`, several of one id in the order they were read.

    Memory: 24 bytes for each document of both runs, of at most 8 million a run at a time: larger runs are
    compared in several passes over the columns of ids. Ids are matched by 64-bit hashes; in a billion of them
    one in 37 runs has two that collide. Raises RunError where either is no finished run.
    """
    runs = (here, there)
    for folder in runs:
        folder.require()
    said = [storage.read_json(folder.summary) for folder in runs]
    found = Diff(runs, _settings(said[0]["pipeline"], said[1]["pipeline"]))
    names: list[str] = [KEPT]  # of outcomes
    alone: dict[int, list[tuple[int, int, str]]] = {0: [], 1: []}  # (key, doc_id, outcome in the other)
    passes = max(1, -(-max(run["read"] for run in said) // PASS_ROWS))
    for number in range(passes):
        left, right = (_documents(folder, names, number, passes) for folder in runs)
        _compare(left, right, names, found.outcomes, alone)
    for side, chosen in alone.items():
        documents = read_documents(
            runs[side], "", (doc_id for _, doc_id, _ in chosen), {doc_id for _, doc_id, _ in chosen}
        )
        found.examples[side] = [
            (documents[doc_id]["id"], outcome, " ".join((documents[doc_id]["text"] or "").split())[:EXCERPT])
            for _, doc_id, outcome in chosen
        ]
    return found


def _settings(here: list[Any], there: list[Any]) -> list[tuple[str, Any, Any]]:
    """Return what differs of two pipelines; stages are matched by their names, in order."""
    left, right = ([spec.named(item) for item in items] for items in (here, there))
    differ: list[tuple[str, Any, Any]] = []
    matcher = difflib.SequenceMatcher(None, [name for name, _ in left], [name for name, _ in right], autojunk=False)
    for tag, a1, a2, b1, b2 in matcher.get_opcodes():
        if tag != "equal":
            differ += [(name, "there", "absent") for name, _ in left[a1:a2]]
            differ += [(name, "absent", "there") for name, _ in right[b1:b2]]
            continue
        for (name, old), (_, new) in zip(left[a1:a2], right[b1:b2], strict=True):
            fields = dict.fromkeys([*old, *new])
            differ += [(f"{name}.{f}", old.get(f), new.get(f)) for f in fields if old.get(f) != new.get(f)]
    return differ


def _documents(folder: RunFolder, names: list[str], number: int, passes: int) -> np.ndarray:
    """Return the documents of one pass, DOCUMENT (rows,), by key, then in the order they were read."""
    pieces = [np.empty(0, DOCUMENT)]
    for keys, doc_ids, outcomes in _pieces(folder, names):
        mine = keys % np.uint64(passes) == number
        piece = np.zeros(int(mine.sum()), DOCUMENT)
        piece["key"], piece["doc_id"], piece["outcome"] = keys[mine], doc_ids[mine], outcomes[mine]
        pieces.append(piece)
    whole = np.concatenate(pieces)
    whole = whole[np.lexsort((whole["doc_id"], whole["key"]))]
    if len(whole):
        places = np.arange(len(whole))
        begins = np.append(True, whole["key"][1:] != whole["key"][:-1])
        whole["nth"] = places - np.maximum.accumulate(np.where(begins, places, 0))
    return whole


def _pieces(folder: RunFolder, names: list[str]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield hashed ids, doc_ids and numbers of outcomes of every document, a row group at a time."""
    for kind in ("documents", "ledger"):
        columns = ["doc_id", "id"] if kind == "documents" else ["doc_id", "id", "stage", "reason"]
        for name in storage.list_folder(folder.path(kind)):
            with tables.open_parquet(folder.path(kind, name)) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, columns=columns, use_threads=False).combine_chunks()
                    keys = np.fromiter((xxhash.xxh3_64_intdigest(i) for i in _ids(table)), np.uint64, len(table))
                    outcomes = np.zeros(len(table), np.int32)
                    if kind == "ledger":
                        said = zip(table["stage"].to_pylist(), table["reason"].to_pylist())
                        outcomes[:] = [_number(names, f"{stage}: {reason}") for stage, reason in said]
                    yield keys, table["doc_id"].to_numpy(), outcomes


def _ids(table: Any) -> Iterator[memoryview]:
    for chunk in table["id"].chunks:
        yield from each(chunk)


def _number(names: list[str], outcome: str) -> int:
    if outcome not in names:
        names.append(outcome)
    return names.index(outcome)


def _compare(
    left: np.ndarray,
    right: np.ndarray,
    names: list[str],
    outcomes: Counter[tuple[str, str]],
    alone: dict[int, list[tuple[int, int, str]]],
) -> None:
    """Count the outcomes of the documents of one pass, and keep those of smallest hash that one run alone kept."""
    at = _matches(left, right)
    back = np.ones(len(right), bool)
    back[at[at >= 0]] = False
    theirs = np.where(at >= 0, np.append(right["outcome"], -1)[at], -1)
    pairs = np.concatenate(
        [
            np.stack([left["outcome"], theirs], axis=1),
            np.stack([np.full(int(back.sum()), -1), right["outcome"][back]], axis=1),
        ]
    )
    for (here, there), number in zip(*np.unique(pairs, axis=0, return_counts=True), strict=True):
        outcomes[_named(names, here), _named(names, there)] += int(number)
    mine = np.full(len(right), -1)
    mine[at[at >= 0]] = left["outcome"][at >= 0]
    for side, documents, other in ((0, left, theirs), (1, right, mine)):
        few = np.flatnonzero((documents["outcome"] == 0) & (other != 0))[:EXAMPLES]
        more = [(int(documents["key"][i]), int(documents["doc_id"][i]), _named(names, other[i])) for i in few]
        alone[side] = sorted([*alone[side], *more])[:EXAMPLES]


def _matches(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return, for each left document, the place of the right one of the same id and order; -1: there is none."""
    if not len(right):
        return np.full(len(left), -1)
    at = np.searchsorted(right["key"], left["key"]) + left["nth"]
    inside = np.minimum(at, len(right) - 1)
    same = (at < len(right)) & (right["key"][inside] == left["key"])
    return np.where(same, inside, -1)


def _named(names: list[str], outcome: int) -> str:
    return names[outcome] if outcome >= 0 else UNREAD


def say(found: Diff) -> str:
    """Put the differences in words, for a terminal."""
    lines = [f"A {found.runs[0].url}", f"B {found.runs[1].url}", ""]
    lines += [f"{what}: {here} | {there}" for what, here, there in found.settings] or ["no setting differs"]
    lines += [
        "",
        f"kept by both      {found.count(True, True):>12,}",
        f"kept by A alone   {found.count(True, False):>12,}",
        f"kept by B alone   {found.count(False, True):>12,}",
        f"kept by neither   {found.count(False, False):>12,}",
        "",
    ]
    names = sorted({name for pair in found.outcomes for name in pair})
    width = max(map(len, names), default=0) + 2
    lines.append(f"{'outcome':<{width}}{'A':>12}{'B':>12}{'changed':>12}")
    for name in names:
        here, there, same = (_total(found, name, side) for side in ((True, False), (False, True), (True, True)))
        lines.append(f"{name:<{width}}{here:>12,}{there:>12,}{here + there - 2 * same:>12,}")
    for side, letter, other in ((0, "A", "B"), (1, "B", "A")):
        if found.examples[side]:
            lines += ["", f"kept by {letter} alone, and what became of them in {other}:"]
            pairs = Counter({p: n for p, n in found.outcomes.items() if p[side] == KEPT and p[1 - side] != KEPT})
            lines += [f"  {number:>10,}  {pair[1 - side]}" for pair, number in pairs.most_common()]
            lines += [f"  {id_} ({outcome})  {text}" for id_, outcome, text in found.examples[side]]
    return "\n".join(lines)


def _total(found: Diff, name: str, sides: tuple[bool, bool]) -> int:
    """Return documents of this outcome in one run, or in both."""
    return sum(
        number
        for pair, number in found.outcomes.items()
        if all(outcome == name for outcome, wanted in zip(pair, sides, strict=True) if wanted)
    )
