"""Share the candidates out: whole components to jobs, components too large for one to slices of the keep order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curator.dedup.near.candidates import Candidates
from curator.dedup.near.decide import keep_order
from curator.dedup.near.evidence import Jobs, Source
from curator.run.corpus import Corpus


def plan_jobs(corpus: Corpus, source: Source, candidates: Candidates, fit_a_job: int, rounds: bool) -> Jobs:
    """Return who decides what, `fit_a_job` documents a job or slice, about.

    Without `rounds` a large component is one job, however large. With them the main process holds 24
    bytes for each document of a large component.
    """
    large = dict(candidates.sizes) if rounds else {}
    count = max(1, -(-(candidates.documents - sum(large.values())) // fit_a_job))
    if not large:
        return Jobs(count, np.zeros(0, np.uint64), np.zeros(0, np.int64))
    names = np.array(sorted(large), np.uint64)
    tasks = [_Rank(source, candidates, group, names) for group in range(len(candidates.groups))]
    found = corpus.map("ordering large components", _rank, tasks)
    nodes, priority = (np.concatenate(column) for column in zip(*found, strict=True))
    slices = np.empty(len(nodes), np.int64)
    slices[keep_order(source.documents, nodes, priority)] = np.arange(len(nodes)) // fit_a_job
    ascending = np.argsort(nodes)
    return Jobs(count, nodes[ascending], slices[ascending])


@dataclass(frozen=True)
class _Rank:
    source: Source
    candidates: Candidates
    group: int
    names: np.ndarray


def _rank(task: _Rank) -> tuple[np.ndarray, np.ndarray]:
    """Return (nodes, priorities) of a group's documents that belong to large components."""
    nodes, components = task.candidates.read(task.group)
    nodes = nodes[np.isin(components, task.names)]
    found = [np.zeros(0)]
    for shelf in task.candidates.groups[task.group]:
        low, high = np.searchsorted(nodes, [shelf.number << 32, (shelf.number + 1) << 32])
        if high > low:
            found.append(task.source.priorities(shelf, nodes[low:high]))
    return nodes, np.concatenate(found)
