"""Spans of documents, that may overlap."""

from __future__ import annotations

import numpy as np


def merged(
    documents: np.ndarray, starts: np.ndarray, stops: np.ndarray, touching: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Merge spans of one document that overlap, or also those that touch.

    documents: any numbers (rows); starts, stops: int64 (rows), start < stop, in any order. Returns (the row each
    merged span begins with, where it stops), int64, by document and start.
    """
    if not len(documents):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.lexsort((starts, documents))  # documents may be doc_ids: no room to put both in one number
    named, starts, stops = documents[order], starts[order], stops[order]
    document = np.cumsum(np.append(False, named[1:] != named[:-1]))
    beyond = int(stops.max()) + 2  # keeps documents apart on one line of numbers
    reached = np.maximum.accumulate(document * beyond + stops)
    apart = document[1:] * beyond + starts[1:] - reached[:-1]
    new = np.append(True, apart > 0 if touching else apart >= 0)
    last = np.append(np.flatnonzero(new)[1:] - 1, len(named) - 1)
    return order[new], reached[last] - document[last] * beyond
