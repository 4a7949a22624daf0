"""Plans of micro-batches hold every example once, keep the budget, and load ranks alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from align.batch import Example, TokenSequence
from align.data.balance import balanced, banded, planned
from align.layout import packed, padded

LENGTHS = st.lists(st.integers(2, 300), max_size=40)


def examples(lengths, sides=1):
    return [
        Example(
            str(n),
            tuple(TokenSequence(np.zeros(length + s, np.int64), np.zeros(length + s, bool)) for s in range(sides)),
        )
        for n, length in enumerate(lengths)
    ]


@given(LENGTHS, st.integers(2, 400), st.integers(1, 5), st.booleans(), st.integers(1, 2))
def test_every_example_is_there_once_on_equally_many_micro_batches(lengths, budget, ranks, packing, sides):
    plan = planned(examples(lengths, sides), budget, ranks, packing=packing)
    assert len(plan) == ranks
    assert len({len(rank) for rank in plan}) == 1
    assert sorted(n for rank in plan for one in rank for n in one) == list(range(len(lengths)))
    assert plan == planned(examples(lengths, sides), budget, ranks, packing=packing)


@given(LENGTHS, st.integers(2, 400), st.integers(1, 5), st.booleans(), st.integers(1, 2))
def test_micro_batches_keep_the_budget_as_they_are_laid_out(lengths, budget, ranks, packing, sides):
    made = examples(lengths, sides)
    for rank in planned(made, budget, ranks, packing=packing):
        for one in rank:
            if len(one) > 1:
                chosen = [made[n] for n in one]
                batch = packed(chosen, budget) if packing else padded(chosen)
                assert batch.tokens.numel() <= budget


@given(LENGTHS.filter(bool), st.integers(1, 5))
def test_ranks_differ_by_no_more_than_the_longest_example(lengths, ranks):
    loads = [sum(lengths[n] for one in rank for n in one) for rank in balanced(lengths, 512, ranks)]
    assert max(loads) - min(loads) <= max(lengths)


def test_no_micro_batch_is_left_nearly_empty_where_they_can_be_even():
    assert balanced([60, 60, 60, 10, 10, 10], 140) == [[[0, 2], [1, 3, 4, 5]]]  # first fit: 140 and 70


def test_the_budget_comes_before_evenness():
    assert balanced([6, 6, 3, 3, 2, 2, 2], 12) == [[[0, 1], [2, 3, 4, 5, 6]]]  # even would be 13 and 11


def test_an_example_over_the_budget_has_a_micro_batch_to_itself():
    assert balanced([10, 900, 10, 10], 100) == [[[1], [0, 2, 3]]]


def test_padded_micro_batches_hold_examples_of_like_length():
    plan = banded([10, 100, 11, 90, 9, 95], [1] * 6, 300, 2)
    assert plan == [[[1, 3, 5]], [[0, 2, 4]]]
    lengths = np.random.default_rng(0).integers(10, 400, 64).tolist()
    cells = [
        max(lengths[n] for n in one) * len(one) for rank in banded(lengths, [1] * 64, 2048, 4) for one in rank if one
    ]
    assert sum(lengths) / sum(cells) > 0.85  # as they come: about a half
    assert max(cells) <= 2048


def test_nothing_to_plan_is_one_empty_micro_batch_a_rank():
    assert balanced([], 100, 2) == [[[]], [[]]]
    assert banded([], [], 100, 2) == [[[]], [[]]]


@pytest.mark.parametrize("ranks", [1, 4])
def test_heavy_tailed_lengths_are_balanced_within_two_in_a_hundred(ranks):
    lengths = np.minimum(np.random.default_rng(0).pareto(1.2, 512) * 60 + 20, 1000).astype(int).tolist()
    plan = balanced(lengths, 4096, ranks)
    loads = [sum(lengths[n] for one in rank for n in one) for rank in plan]
    assert max(loads) / (sum(loads) / ranks) < 1.02
    assert len(plan[0]) <= -(-max(loads) // 4096) + 1
