"""Decide whole components: one job holds the evidence of some, and applies the rule to them in keep order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from curator.dedup.near.documents import Documents
from curator.dedup.near.evidence import Source
from curator.dedup.removals import Removals
from curator.kernels import witness
from curator.rejections import listed
from curator.run.exchange import Exchange


@dataclass(frozen=True)
class Rule:
    """What makes a document go."""

    cluster: Literal["witness", "components"]
    verify: bool
    jaccard: float
    cap: int
    within: bool


@dataclass(frozen=True)
class Job:
    """A task: decide the components in one range of the evidence."""

    source: Source
    dealt: Exchange
    number: int
    rule: Rule
    removals: Removals


def decide(task: Job) -> np.ndarray:
    """Decide one range; return the keys of buckets over the cap. Memory: its evidence, twice."""
    table = task.dealt.read(task.number, task.source.schema)
    nodes = table["doc_id"].to_numpy()
    order = keep_order(task.source.documents, nodes, table["priority"].to_numpy())
    if task.rule.verify:
        verdict = judged(table, order, task.source, task.rule)
    else:
        verdict = heads(table["component"].to_numpy(), order)
    gone = (verdict.witness >= 0) & task.source.documents.is_own(nodes)
    remove(task.removals, f"job-{task.number:010d}", task.source.documents, nodes[gone],
           nodes[verdict.witness[gone]], verdict.similarity[gone])  # fmt: skip
    return verdict.over_cap


def keep_order(documents: Documents, nodes: np.ndarray, priority: np.ndarray) -> np.ndarray:
    """Return the rows, int64, in keep order: (batch, priority, doc_id)."""
    return np.lexsort((nodes, priority, documents.batches(nodes)))


def judged(table: pa.Table, order: np.ndarray, source: Source, rule: Rule) -> witness.Witnesses:
    """Apply the rule with exact verification to the rows of some evidence."""
    keys = np.column_stack([table[band].to_numpy() for band in source.bands])
    starts, flat = sets_of(table)
    if rule.cluster == "components":
        return witness.joined_components(keys, order, starts, flat, rule.jaccard, rule.cap)
    fixed = ~source.documents.is_own(table["doc_id"].to_numpy())
    return witness.witness_rule(keys, order, starts, flat, rule.jaccard, rule.cap, fixed, rule.within)


def heads(components: np.ndarray, order: np.ndarray) -> witness.Witnesses:
    """Keep the first of each component, unverified: the rule of peers that stop at the LSH."""
    _, first, own = np.unique(components[order], return_index=True, return_inverse=True)
    found = np.full(len(order), witness.KEPT, np.int64)
    found[order] = order[first[own]]
    found[found == np.arange(len(order))] = witness.KEPT
    return witness.Witnesses(found, np.full(len(order), np.nan), np.zeros(0, np.uint64))


def sets_of(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return (starts int64 (rows + 1), flat uint64) of the shingle sets of some evidence."""
    sets = table["shingles"].combine_chunks()
    if isinstance(sets, pa.ChunkedArray):  # of no rows
        return np.zeros(1, np.int64), np.zeros(0, np.uint64)
    return sets.offsets.to_numpy(), sets.values.to_numpy()


def remove(
    removals: Removals, name: str, documents: Documents, nodes: np.ndarray, by: np.ndarray, similarity: np.ndarray
) -> None:
    """Hand in decisions: nodes that go, the nodes that show why, their Jaccard similarity (NaN: unverified)."""
    removals.add(name, listed(documents.doc_ids(nodes), documents.doc_ids(by), similarity, documents.runs(by)))
