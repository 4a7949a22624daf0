"""The documents that share a bucket with another, each with its component, where tasks find them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curator.dedup.near.documents import SHIFT, Shelf
from curator.run.exchange import Exchange, range_of
from curator.schema import arrow_schema

CANDIDATE = arrow_schema({"doc_id": "uint64", "component": "uint64"})
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # spreads numbers that lie close together


@dataclass(frozen=True)
class Candidates:
    """The documents that share a bucket with another, with their component (the first node of it).

    Dealt by shelf: range i of the exchange holds those of `groups[i]`, ascending.
    """

    dealt: Exchange
    groups: tuple[tuple[Shelf, ...], ...]
    documents: int
    sizes: dict[int, int]  # documents of each component that has more than `large`

    def read(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (nodes, components), uint64, of one group."""
        table = self.dealt.read(number, CANDIDATE)
        order = np.argsort(table["doc_id"].to_numpy())
        return table["doc_id"].to_numpy()[order], table["component"].to_numpy()[order]


def group_of(nodes: np.ndarray, groups: tuple[tuple[Shelf, ...], ...]) -> np.ndarray:
    """Return which group each node's shelf is in, int64."""
    firsts = np.array([group[0].number for group in groups], np.uint64)
    return np.searchsorted(firsts, nodes >> SHIFT, side="right") - 1


def job_of(components: np.ndarray, jobs: int) -> np.ndarray:
    """Return the job, int64, that decides each component: the same for all its documents, spread evenly."""
    return range_of(components * GOLDEN, jobs)
