"""What deduplication removed: clusters by witness, and the pairs that were closest to being kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.report.spread import Limit, Spread
from curator.report.worddiff import Run, compare
from curator.run.documents import read_documents
from curator.run.folder import RunFolder

CLUSTERS = 5  # shown, those of most removals
PAIRS = 6  # shown, those of lowest similarity
MEMBERS = 12  # ids listed of a cluster


@dataclass(frozen=True)
class Pair:
    """A removed document beside its witness; `kept` and `gone` hold their doc_id, id and url."""

    kept: dict[str, Any]
    gone: dict[str, Any]
    similarity: float
    left: list[Run]  # words of the witness
    right: list[Run]  # words of the removed document
    members: list[dict[str, Any]] = field(default_factory=list)  # of its cluster, least similar first
    removed: int = 1  # documents of its cluster


@dataclass(frozen=True)
class Copies:
    """What one stage removed for a witness."""

    stage: int
    reason: str
    limit: Limit | None  # None: copies are exact
    removed: int
    witnesses: int
    largest: int  # removals of the largest cluster
    similarity: Spread
    clusters: list[Pair]  # of more than one removal; shown is the least similar one
    pairs: list[Pair]  # the least similar pairs, one a witness


class Removals:
    """Rows of the ledger that name a witness in this run, 20 bytes each; of other runs, how many."""

    def __init__(self) -> None:
        self.elsewhere: Counter[int] = Counter()  # by stage
        self.rows: dict[tuple[int, str], list[np.ndarray]] = {}
        self.thresholds: dict[tuple[int, str], float | None] = {}

    def add(self, ledger: pa.Table) -> None:
        """Take the rows with a witness here that the document is like out of a piece of the ledger."""
        stages = ledger["stage_index"].filter(pc.is_valid(ledger["witness_run"]))
        self.elsewhere.update(stages.to_pylist())
        here = pc.and_(pc.is_valid(ledger["similarity"]), pc.is_null(ledger["witness_run"]))
        named = ledger.filter(pc.and_(pc.is_valid(ledger["witness"]), here))
        kinds = named.select(["stage_index", "reason", "threshold"]).group_by(
            ["stage_index", "reason", "threshold"], use_threads=False
        )
        for kind in kinds.aggregate([]).to_pylist():
            key = (kind["stage_index"], kind["reason"])
            mine = pc.and_(pc.equal(named["stage_index"], key[0]), pc.equal(named["reason"], key[1]))
            own = named.filter(mine)
            rows = np.empty(len(own), [("witness", "u8"), ("doc_id", "u8"), ("similarity", "f4")])
            for name in rows.dtype.names or ():
                rows[name] = own[name].to_numpy()
            self.rows.setdefault(key, []).append(rows)
            self.thresholds[key] = kind["threshold"]


def copies(removals: Removals, folder: RunFolder, places: dict[int, str]) -> list[Copies]:
    """Return what each deduplicating stage removed, with the texts to show.

    `places`: the folder, below the run, of the documents as they came to each stage. Equal rows sort by
    doc_id, so that the choice is that of the run alone.
    """
    found = []
    for (stage, reason), pieces in sorted(removals.rows.items()):
        rows = np.sort(np.concatenate(pieces), order=["similarity", "doc_id"])
        witnesses, counts = np.unique(rows["witness"], return_counts=True)
        threshold = removals.thresholds[stage, reason]
        limit = None if threshold is None else Limit("jaccard", threshold, True, stage, reason)
        spread = Spread((limit,) if limit else ())
        spread.add(pa.chunked_array([pa.array(rows["similarity"])]))
        most = [int(w) for w in witnesses[np.lexsort((witnesses, -counts))[:CLUSTERS]]]
        if limit is None:
            chosen, pairs = [_members(rows, most[0])], []
        else:
            chosen = [c for c in (_members(rows, w) for w in most) if c[1] > 1]
            pairs = [_members(rows, w) for w in _least_similar(rows, {int(c[0][0]["witness"]) for c in chosen})]
        texts = _read(folder, places[stage], [chosen, pairs])
        found.append(
            Copies(
                stage, reason, limit, len(rows), len(witnesses), int(counts.max()), spread,
                [_pair(members, removed, texts) for members, removed in chosen],
                [_pair(members, removed, texts) for members, removed in pairs],
            )
        )  # fmt: skip
    return found


def _members(rows: np.ndarray, witness: int) -> tuple[np.ndarray, int]:
    """Return the least similar members of a cluster, and how many it has."""
    own = rows[rows["witness"] == witness]
    return own[:MEMBERS], len(own)


def _least_similar(rows: np.ndarray, shown: set[int]) -> list[int]:
    """Return the witnesses of the least similar pairs, without those already shown."""
    chosen: dict[int, None] = {}
    for row in rows:  # ascending by similarity
        if int(row["witness"]) not in shown:
            chosen[int(row["witness"])] = None
        if len(chosen) == PAIRS:
            break
    return list(chosen)


def _pair(members: np.ndarray, removed: int, texts: dict[int, dict[str, Any]]) -> Pair:
    kept, gone = dict(texts[int(members[0]["witness"])]), dict(texts[int(members[0]["doc_id"])])
    left, right = compare(kept.pop("text") or "", gone.pop("text") or "")
    listed = [
        {
            "doc_id": int(m["doc_id"]),
            "id": texts[int(m["doc_id"])]["id"],
            "similarity": float(m["similarity"]),
        }
        for m in members
    ]
    return Pair(kept, gone, float(members[0]["similarity"]), left, right, listed, removed)


def _read(folder: RunFolder, place: str, chosen: list[list[tuple[np.ndarray, int]]]) -> dict[int, dict[str, Any]]:
    """Return doc_id, id, url and text of the documents to show; text of those compared alone."""
    members = [m for group in chosen for m, _ in group]
    compared = {int(m[0][name]) for m in members for name in ("witness", "doc_id")}
    ids = compared | {int(doc_id) for m in members for doc_id in m["doc_id"]}
    return read_documents(folder, place, ids, compared)
