"""The order is a law of its own: the same rows however it is asked, each row once an epoch, shares kept."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.data import order as module
from pretrain.data.order import Order, Source, permuted

RATES = st.floats(0.001, 1000)
SOURCES = st.lists(st.builds(Source, st.integers(1, 150), RATES, st.booleans()), min_size=1, max_size=5)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ROWS", 50)


@settings(max_examples=20)
@given(SOURCES, st.integers(0, 2**70), st.lists(st.integers(1, 130), max_size=8), st.integers(0, 3000))
def test_the_order_does_not_depend_on_how_it_is_asked_for(sources, seed, steps, start):
    bounds = np.cumsum([start, *steps]).tolist()
    whole = Order(sources, seed)[start : bounds[-1]]
    cut = [Order(sources, seed)[low:high] for low, high in itertools.pairwise(bounds)]
    for column in (0, 1):
        joined = np.concatenate([np.zeros(0, np.int64), *(part[column] for part in cut)])
        np.testing.assert_array_equal(joined, whole[column])
    assert len(whole[0]) == bounds[-1] - start


@settings(max_examples=20)
@given(SOURCES, st.integers(1, 400))
def test_sets_are_merged_by_the_times_of_their_rows(sources, rows):
    """The next row is that of the set whose own next time is earliest: a merge, one row at a time."""
    order = Order(sources, 0)
    taken = np.zeros(len(sources))
    rates = np.array(order.rates)
    for chosen in order[0:rows][0].tolist():
        times = (taken + 0.5) / rates
        assert chosen == int(times.argmin())
        taken[chosen] += 1
    assert order.taken(rows) == taken.tolist()


@settings(max_examples=20)
@given(SOURCES, st.integers(0, 5000))
def test_every_set_has_its_share_at_any_position(sources, position):
    order = Order(sources, 3)
    for count, rate in zip(order.taken(position), order.rates, strict=True):
        assert abs(count - rate * position) <= 0.5 + rate * len(sources) / 2 + 1e-6


@settings(max_examples=15)
@given(SOURCES, st.integers(0, 2**64))
def test_every_row_comes_once_an_epoch(sources, seed):
    order = Order(sources, seed)
    which, rows = order[0 : min(10 * max(s.rows for s in sources), 1000)]
    for i, source in enumerate(sources):
        mine = rows[which == i]
        for epoch in range(len(mine) // source.rows):
            here = mine[epoch * source.rows : (epoch + 1) * source.rows]
            assert sorted(here.tolist()) == list(range(source.rows))
            if epoch == 0 and source.shuffled:
                assert here.tolist() == list(range(source.rows))


def test_epochs_and_seeds_shuffle_otherwise():
    orders = [Order([Source(1000, 1.0, shuffled=False)], seed)[0:3000][1].reshape(3, 1000) for seed in (0, 1)]
    epochs = [*orders[0], *orders[1], np.arange(1000)]
    for i, a in enumerate(epochs):
        for b in epochs[:i]:
            assert (a == b).sum() < 10  # one is expected


@settings(max_examples=60)
@given(st.integers(1, 2000), st.integers(0, 2**64 - 1))
def test_a_permutation_is_one(size, key):
    images = permuted(np.arange(size), size, np.full(size, key, np.uint64))
    assert sorted(images.tolist()) == list(range(size))


def test_permutations_are_even():
    """Chi-squared of where element 0 of 8 lands under 8,000 keys: 7 degrees of freedom, 0.1 % above 24.3."""
    images = permuted(np.zeros(8000, np.int64), 8, np.arange(8000, dtype=np.uint64))
    counts = np.bincount(images, minlength=8)
    assert ((counts - 1000) ** 2 / 1000).sum() < 24.3


def test_a_place_far_ahead_is_found_without_what_lies_before():
    order = Order([Source(10**9, 3.0), Source(7, 1.0)], 0)
    which, rows = order[10**13 : 10**13 + 100]
    assert np.bincount(which).tolist() == [75, 25]
    assert rows[which == 1].max() < 7
    assert len(set(rows[which == 0].tolist())) == 75
