"""Deciding again on what is stored, with the stages' own `reject`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curator import frames
from curator.errors import RunError
from curator.retune.filters import Filters
from curator.retune.rows import KEPT, Rows
from curator.run.folder import RunFolder

DROPPED, STAYS, UNKNOWN = 0, 1, 2  # fates; UNKNOWN: filters follow that have not measured the document


@dataclass(frozen=True)
class Decided:
    """What becomes of some documents."""

    beyond: np.ndarray  # bool (rows, reasons): each reason that holds, of filters that measured the document
    first: np.ndarray  # int64 (rows): the first of them; -1: none, or a stage that decides no more took it before
    fixed: np.ndarray  # bool (rows): dropped by a stage whose decision is taken as it was
    open: np.ndarray  # bool (rows): would yet have to be measured by later filters, were it not dropped
    fate: np.ndarray  # int8 (rows): DROPPED, STAYS or UNKNOWN


def decide(filters: Filters, batch: Rows) -> Decided:
    """Return what the filters make of the documents, which keep whatever else dropped them.

    A document dropped by a filter has not met the filters after the next writer of text: where it would pass
    now, they decide, and nobody knows how. Deduplication is not done again.
    """
    beyond = np.zeros((len(batch.doc_id), len(filters.reasons)), bool)
    column = 0
    for decider in filters.deciders:
        measured = batch.fell >= decider.group
        frame = frames.from_arrow(batch.signals.select(list(decider.stage.stored())))
        for mask in decider.stage.reject(frame).values():
            beyond[:, column] = frames.to_numpy(mask.fillna(False).astype("bool")) & measured
            column += 1
    places = _places(filters)
    any_: np.ndarray = beyond.sum(axis=1) > 0
    first = beyond.argmax(axis=1) if len(filters.reasons) else np.zeros(len(any_), np.int64)
    own = np.isin(batch.fell, [decider.index for decider in filters.deciders])
    fixed = (batch.fell != KEPT) & ~own
    before = fixed & (~any_ | (batch.fell < places[first]))
    stages = np.array([filters.open_after(index) for index in range(len(filters.names))], bool)
    open_ = own & stages[np.minimum(batch.fell, len(stages) - 1)]
    fate = np.where(any_ | fixed, DROPPED, np.where(open_, UNKNOWN, STAYS)).astype(np.int8)
    return Decided(beyond, np.where(any_ & ~before, first, -1), fixed, open_, fate)


def checked(folder: RunFolder, filters: Filters, decided: Decided, batch: Rows) -> np.ndarray:
    """Return whom the run kept, bool (rows); raise RunError where its signals say otherwise."""
    stayed: np.ndarray = batch.fell == KEPT
    own = np.isin(batch.fell, [decider.index for decider in filters.deciders])
    said = np.where(decided.first >= 0, _places(filters)[decided.first], -1) == batch.fell
    wrong = np.where(own, ~said, decided.beyond.any(axis=1))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise RunError(
            f"{folder.url}: signals/ does not give the decisions of ledger/ for {int(wrong.sum())} documents, such as "
            f"{batch.doc_id[at]}; another version of millrace made this run, run it again"
        )
    return stayed


def _places(filters: Filters) -> np.ndarray:
    """Return the stage of each reason; of filters that only measure, one that no document fell at."""
    return np.array([reason.decider.index for reason in filters.reasons] or [KEPT], np.int32)
