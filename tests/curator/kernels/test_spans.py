"""Spans are merged within documents only."""

import numpy as np
import pytest

from curator.kernels.spans import merged


def test_spans_that_touch_are_one_and_documents_stay_apart():
    documents, starts, stops = np.array([[1, 0, 0, 1, 0], [4, 0, 3, 0, 5], [9, 3, 5, 2, 6]])
    rows, ends = merged(documents, starts, stops, touching=True)
    assert (rows.tolist(), ends.tolist()) == ([1, 3, 0], [6, 2, 9])
    rows, ends = merged(documents, starts, stops, touching=False)
    assert (rows.tolist(), ends.tolist()) == ([1, 2, 4, 3, 0], [3, 5, 6, 2, 9])


def test_spans_of_neighbouring_documents_stay_apart_whatever_their_numbers():
    first = np.uint64(1 << 62)  # doc_id of a late part
    ids = np.array([first + np.uint64(1), first, first + np.uint64(1), first], np.uint64)
    starts, stops = np.array([0, 900_000, 5, 0]), np.array([10, 900_300, 20, 300])
    rows, ends = merged(ids, starts, stops, touching=True)
    assert rows.tolist() == [3, 1, 0]
    assert ends.tolist() == [300, 900_300, 20]


@pytest.mark.parametrize("touching", [True, False])
def test_no_spans_are_none(touching):
    rows, ends = merged(*(np.zeros(0, np.int64),) * 3, touching=touching)
    assert (len(rows), len(ends)) == (0, 0)
