"""The documents nearest to a limit, on both sides of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from curator.errors import RunError
from curator.retune.decide import Decided
from curator.retune.filters import Reason
from curator.retune.rows import Rows
from curator.run.checkpoints import checkpoints
from curator.run.documents import read_documents
from curator.run.folder import WORK_OF_LAST, RunFolder, part_name
from millrace import storage

NEAR = 3  # documents on either side
EXCERPT = 200  # characters shown of each


@dataclass
class Borderline:
    """Keeps the few documents nearest to a limit whose fate hangs on it alone."""

    reason: Reason
    number: int  # of the reason
    passing: list[tuple[float, int]] = field(default_factory=list)  # (value, doc_id), nearest first
    falling: list[tuple[float, int]] = field(default_factory=list)

    def add(self, decided: Decided, batch: Rows) -> None:
        """Look at some documents."""
        rule = self.reason.rule
        assert rule is not None
        limit = float(getattr(self.reason.decider.stage, rule.limit))
        column = batch.signals[rule.signal]
        measured = column.is_valid().to_numpy(zero_copy_only=False) & (batch.fell >= self.reason.decider.group)
        values = column.cast(pa.float64()).fill_null(0).to_numpy()
        beyond = decided.beyond[:, self.number]
        alone = measured & ~decided.fixed & (decided.beyond.sum(axis=1) == beyond)
        for side, mask in (("passing", alone & ~beyond), ("falling", alone & beyond)):
            rows = np.flatnonzero(mask)
            rows = rows[np.lexsort((batch.doc_id[rows], np.abs(values[rows] - limit)))[:NEAR]]
            found = [*getattr(self, side), *zip(values[rows].tolist(), batch.doc_id[rows].tolist())]
            setattr(self, side, sorted(found, key=lambda one: (abs(one[0] - limit), one[1]))[:NEAR])


def excerpts(folder: RunFolder, run: dict[str, Any], ids: set[int]) -> dict[int, tuple[str, str | None]]:
    """Return {doc_id: (id, the beginning of its text)} of documents of which there is any; the text is that
    of the last checkpoint that holds the document, or what its done marker shows of it. None: no text is left."""
    found: dict[int, tuple[str, str | None]] = {}
    for place in reversed(run["segments"]):
        base = "" if place == WORK_OF_LAST else place
        there = {i for i in ids if storage.exists(folder.path(*filter(None, [base]), "documents", _file(i)))}
        for doc_id, row in read_documents(folder, base, there - set(found), there).items():
            found[doc_id] = (row["id"], _short(row["text"]))
    try:
        made = checkpoints(folder, run)
    except RunError:  # its work folder was cleaned
        return found
    for one in (example for checkpoint in made for few in checkpoint.examples.values() for example in few):
        if one["doc_id"] in ids - set(found):
            found[one["doc_id"]] = (one["id"], _short(one["excerpt"]))
    return found


def _file(doc_id: int) -> str:
    return part_name(doc_id >> 32) + ".parquet"


def _short(text: str | None) -> str | None:
    return None if text is None else " ".join(text[: 4 * EXCERPT].split())[:EXCERPT]
