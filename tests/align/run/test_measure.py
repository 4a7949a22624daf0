"""Micro-batches of a global batch keep their budget, padding included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from align.batch import Example, TokenSequence
from align.run.measure import Layout


def examples(lengths, sides=1):
    return [
        Example(str(n), tuple(TokenSequence(np.zeros(length, np.int64), np.zeros(length, bool)) for _ in range(sides)))
        for n, length in enumerate(lengths)
    ]


@given(
    st.lists(st.integers(2, 200), min_size=1, max_size=30), st.integers(200, 500), st.integers(1, 3),
    st.integers(1, 2), st.booleans(),
)  # fmt: skip
def test_each_data_rank_has_its_share_within_the_budget(lengths, budget, ranks, sides, packing):
    layout = Layout(budget, 200, packing)
    shares = [layout.batches(examples(lengths, sides), rank, ranks) for rank in range(ranks)]
    assert len({len(one) for one in shares}) == 1
    batches = [one for share in shares for one in share]
    held = [number for one in batches for number in one.example.tolist() if number >= 0]
    assert sorted(held) == sorted(list(range(len(lengths))) * sides)
    if not packing:
        assert all(one.tokens.numel() <= budget or len(set(one.example.tolist())) == 1 for one in batches)


@pytest.mark.parametrize("packing", [True, False])
def test_one_long_example_does_not_widen_the_rows_of_all_short_ones(packing):
    lengths = [512] + [20] * 100  # a row of 512 for each: 51,712 cells
    batches = Layout(4096, 512, packing).batches(examples(lengths), 0, 1)
    assert sum(one.tokens.numel() for one in batches) <= 1.5 * sum(lengths)
    assert max(one.tokens.numel() for one in batches) <= 4096
