"""Boxes of a run: the runs they come from are the oracle."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from pretrain.mcore.boxes import boxes

shapes = st.lists(st.integers(1, 5), max_size=4).map(tuple)


@given(shapes, st.data())
def test_boxes_hold_the_numbers_of_the_run_in_their_order(shape, data):
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, math.prod(shape))] * 2)))
    places = list(itertools.product(*map(range, shape)))
    held = [
        tuple(a + b for a, b in zip(offsets, place))
        for offsets, lengths in boxes(shape, start, stop)
        for place in itertools.product(*map(range, lengths))
    ]
    assert held == places[start:stop]


@given(shapes, st.data())
def test_there_are_few_boxes(shape, data):
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, math.prod(shape))] * 2)))
    assert len(list(boxes(shape, start, stop))) <= max(1, 2 * len(shape) - 1)
