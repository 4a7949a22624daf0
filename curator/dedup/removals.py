"""Decisions of many tasks, brought back to the parts they are about without passing through one memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curator.dedup.by_part import ByPart
from curator.rejections import LISTED, write_lists
from curator.run.corpus import Corpus
from curator.run.exchange import Exchange
from curator.schema import arrow_schema


@dataclass(frozen=True)
class Removals(ByPart):
    """Takes rejected documents: the table of `curator.rejections.listed`."""

    @staticmethod
    def of(corpus: Corpus) -> Removals:
        """Return an empty one for a corpus; one exists at a time."""
        return Removals.over(corpus, "removals", corpus.groups())

    def publish(self, corpus: Corpus, folder: str) -> dict[int, int]:
        """Write one list a part, under `folder`; return how many documents each part loses."""
        tasks = [_Publish(self.dealt, number, folder) for number in range(self.dealt.ranges)]
        lost = corpus.map("listing removals", _publish, tasks)
        return {part: count for counts in lost for part, count in counts.items()}


@dataclass(frozen=True)
class _Publish:
    dealt: Exchange
    range: int
    folder: str


def _publish(task: _Publish) -> dict[int, int]:
    table = task.dealt.read(task.range, arrow_schema(LISTED))
    write_lists(task.folder, table)
    parts, counts = np.unique(table["doc_id"].to_numpy() >> np.uint64(32), return_counts=True)
    return dict(zip(parts.tolist(), counts.tolist(), strict=True))
