"""Decide components too large for one task, in rounds along the keep order, with the outcome of the
sequential rule.

The order is cut into slices that fit a task. In a round, a slice is first held against all that earlier
slices kept, by as many tasks as there are workers; then one task decides what is left of it among itself. Every
comparison of the sequential rule is made, once, in either step, and no other; a bucket's cap counts the
kept members of all slices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curator.dedup.near.decide import Rule, keep_order, remove, sets_of
from curator.dedup.near.evidence import Source
from curator.dedup.removals import Removals
from curator.kernels import witness
from curator.run.corpus import Corpus
from curator.run.exchange import Exchange


@dataclass(frozen=True)
class Slice:
    """A task: one slice of the keep order, or the part of it whose rows are `mine` modulo `parts`."""

    source: Source
    dealt: Exchange
    first: int  # range of the first slice in the exchange
    number: int
    rule: Rule
    removals: Removals
    kept: tuple[np.ndarray, ...]  # nodes that earlier slices kept, uint64 ascending each
    mine: int = 0
    parts: int = 1
    gone: np.ndarray | None = None  # nodes of this slice already removed, ascending

    def rows(self, number: int) -> pa.Table:
        """Return the evidence of a slice; memory-mapped where the disk is local."""
        return self.dealt.read(self.first + number, self.source.schema)


def decide_in_rounds(
    corpus: Corpus, source: Source, dealt: Exchange, first: int, slices: int, rule: Rule, removals: Removals
) -> list[np.ndarray]:
    """Decide all slices; return the keys of buckets over the cap, an array a slice.

    The main process holds the nodes that were kept: 8 bytes each.
    """
    kept: tuple[np.ndarray, ...] = ()
    over: list[np.ndarray] = []
    for number in range(slices):
        task = Slice(source, dealt, first, number, rule, removals, kept)
        gone = np.zeros(0, np.uint64)
        if kept:
            parts = corpus.cluster.workers
            tasks = [Slice(source, dealt, first, number, rule, removals, kept, m, parts) for m in range(parts)]
            label = f"round {number + 1} of {slices}"
            gone = np.sort(np.concatenate(corpus.map(label, _against_kept, tasks)))
        task = Slice(source, dealt, first, number, rule, removals, kept, gone=gone)
        ((stayed, crowded),) = corpus.map(f"round {number + 1}, among itself", _among_itself, [task])
        kept = (*kept, stayed)
        over.append(crowded)
    return over


def _against_kept(task: Slice) -> np.ndarray:
    """Remove rows of the slice near to what earlier slices kept; return their nodes."""
    table = task.rows(task.number)
    table = table.filter(pa.array(np.arange(len(table)) % task.parts == task.mine))
    before = _kept_in_buckets(task, table)
    both = pa.concat_tables([before, table])
    keys = np.column_stack([both[band].to_numpy() for band in task.source.bands])
    fixed = np.arange(len(both)) < len(before)
    verdict = witness.witness_rule(keys, _order(task, both, fixed), *sets_of(both), task.rule.jaccard, task.rule.cap,
                                   fixed, within=False)  # fmt: skip
    nodes = both["doc_id"].to_numpy()
    gone = (verdict.witness >= 0) & task.source.documents.is_own(nodes)
    remove(task.removals, f"round-{task.number:010d}-{task.mine:05d}", task.source.documents, nodes[gone],
           nodes[verdict.witness[gone]], verdict.similarity[gone])  # fmt: skip
    removed: np.ndarray = nodes[gone]
    return removed


def _among_itself(task: Slice) -> tuple[np.ndarray, np.ndarray]:
    """Decide what is left of the slice; return (nodes kept, ascending; keys of buckets over the cap)."""
    table = task.rows(task.number)
    assert task.gone is not None
    table = table.filter(pa.array(~np.isin(table["doc_id"].to_numpy(), task.gone)))
    before = _kept_in_buckets(task, table)
    # they fill their places in the buckets, but have been compared with: empty sets are like nothing
    emptied = pa.array([[]] * len(before), before.schema.field("shingles").type)
    before = before.set_column(before.schema.get_field_index("shingles"), "shingles", emptied)
    both = pa.concat_tables([before, table.cast(before.schema)])
    keys = np.column_stack([both[band].to_numpy() for band in task.source.bands])
    nodes = both["doc_id"].to_numpy()
    fixed = (np.arange(len(both)) < len(before)) | ~task.source.documents.is_own(nodes)
    verdict = witness.witness_rule(keys, _order(task, both, np.arange(len(both)) < len(before)), *sets_of(both),
                                   task.rule.jaccard, task.rule.cap, fixed, task.rule.within)  # fmt: skip
    gone = verdict.witness >= 0
    remove(task.removals, f"round-{task.number:010d}-itself", task.source.documents, nodes[gone],
           nodes[verdict.witness[gone]], verdict.similarity[gone])  # fmt: skip
    stayed = ~gone & (np.arange(len(both)) >= len(before))
    if not task.rule.within:  # what stays of this run is no witness
        stayed &= ~task.source.documents.is_own(nodes)
    return np.sort(nodes[stayed]), verdict.over_cap


def _order(task: Slice, table: pa.Table, before: np.ndarray) -> np.ndarray:
    """Return the keep order of rows; those of earlier slices stand before, and are in order already."""
    own = keep_order(task.source.documents, table["doc_id"].to_numpy(), table["priority"].to_numpy())
    return np.concatenate((own[before[own]], own[~before[own]]))


def _kept_in_buckets(task: Slice, table: pa.Table) -> pa.Table:
    """Return the evidence of what earlier slices kept in the buckets of some rows: of each bucket the first
    `cap` in keep order, for no others are ever compared."""
    wanted = [np.unique(table[band].to_numpy()) for band in task.source.bands]
    rows = [task.rows(number) for number in range(len(task.kept))]
    near = []
    for slice_rows, nodes in zip(rows, task.kept, strict=True):
        shared = np.zeros(len(slice_rows), bool)
        for band, keys in zip(task.source.bands, wanted, strict=True):
            shared |= np.isin(slice_rows[band].to_numpy(), keys)
        near.append(np.flatnonzero(shared & np.isin(slice_rows["doc_id"].to_numpy(), nodes)))
    brief = [r.select(["doc_id", "priority", *task.source.bands]).take(pa.array(n)) for r, n in zip(rows, near)]
    needed = _first_of_buckets(task, pa.concat_tables([*brief]), wanted) if brief else np.zeros(0, bool)
    bounds = np.cumsum([0, *map(len, near)])
    found = [r.take(pa.array(n[needed[a:b]])) for r, n, a, b in zip(rows, near, bounds, bounds[1:])]
    return pa.concat_tables([task.source.schema.empty_table(), *found])


def _first_of_buckets(task: Slice, kept: pa.Table, wanted: list[np.ndarray]) -> np.ndarray:
    """Tell which rows are among the first `cap` in keep order of a bucket that is wanted."""
    order = keep_order(task.source.documents, kept["doc_id"].to_numpy(), kept["priority"].to_numpy())
    needed = np.zeros(len(kept), bool)
    for band, keys in zip(task.source.bands, wanted, strict=True):
        own = kept[band].to_numpy()[order]
        grouped = np.argsort(own, kind="stable")
        place = np.empty(len(own), np.int64)
        place[grouped] = np.arange(len(own)) - np.searchsorted(own[grouped], own[grouped])
        needed[order[(place < task.rule.cap) & np.isin(own, keys)]] = True
    return needed
