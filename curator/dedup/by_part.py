"""The way back: what tasks found out about documents, in any order, dealt to the parts that these lie in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from curator.run.corpus import Corpus
from curator.run.exchange import Exchange
from millrace import storage


@dataclass(frozen=True)
class ByPart:
    """Takes tables with a column doc_id from any task; range i of the exchange is the i-th group of parts."""

    dealt: Exchange
    firsts: tuple[int, ...]  # first part of each group

    @classmethod
    def over(cls, corpus: Corpus, name: str, groups: list[tuple[int, ...]]) -> Self:
        """Return an empty one of this name, for groups of consecutive parts."""
        dealt = Exchange(storage.join(corpus.scratch, name), max(1, len(groups)))
        return cls(dealt, tuple(group[0] for group in groups))

    def add(self, name: str, table: pa.Table) -> None:
        """Take one task's rows, under a name of its own."""
        parts = (table["doc_id"].to_numpy() >> np.uint64(32)).astype(np.int64)
        self.dealt.write(name, table, np.searchsorted(np.array(self.firsts, np.int64), parts, side="right") - 1)
