"""Components are those of a union-find in plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels import components, lsh


def smallest_of_component(rows, pairs):
    """Return the smallest row of each row's component, by merging sets."""
    member = [{row} for row in range(rows)]
    for a, b in pairs:
        if member[a] is not member[b]:
            member[a] |= member[b]
            for row in member[b]:
                member[row] = member[a]
    return [min(found) for found in member]


def pairs_of_equal_key(keys, empty):
    """Return (first row, row) of each row whose key an earlier one has."""
    first = {}
    rows = [row for row in range(len(keys)) if not empty[row]]
    return [(first.setdefault(int(keys[row]), row), row) for row in rows]


def united(rows, unite):
    """Return the labels after `unite` was called with a forest of single rows."""
    parents = np.arange(rows, dtype=np.uint32)
    unite(parents)
    components.flatten(parents)
    return parents.tolist()


@given(st.integers(1, 60), st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59)), max_size=80))
def test_pairs_against_merged_sets(rows, pairs):
    pairs = [(a % rows, b % rows) for a, b in pairs]
    a, b = np.array(pairs, np.int64).reshape(-1, 2).T.copy()
    labels = united(rows, lambda parents: components.unite_pairs(a, b, parents))
    assert labels == smallest_of_component(rows, pairs)


@given(st.integers(0, 40), st.integers(1, 4), st.integers(1, 30), st.integers(0, 99))
def test_bands_against_merged_sets(rows, bands, distinct, seed):
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**64, distinct, np.uint64)[rng.integers(0, distinct, (bands, rows))]
    empty = rng.random(rows) < 0.2
    room = np.empty(rows, np.uint64)

    def unite(parents):
        for band in keys:
            components.unite(band, empty, parents, room)

    pairs = [pair for band in keys for pair in pairs_of_equal_key(band, empty)]
    assert united(rows, unite) == smallest_of_component(rows, pairs)


def test_many_parts_and_runs_against_merged_sets():
    rng = np.random.default_rng(0)
    rows = 5 * lsh.PART_ROWS
    keys = rng.integers(0, 2**64, rows, np.uint64)[rng.integers(0, rows, (2, rows))]
    empty = rng.random(rows) < 0.01
    pairs = [pair for band in keys for pair in pairs_of_equal_key(band, empty)]
    expected = smallest_of_component(rows, pairs)
    assert united(rows, lambda parents: [components.unite(band, empty, parents) for band in keys]) == expected
    a, b = np.array(pairs, np.uint32).T.copy()
    assert len(a) > 10 * components.RUN
    assert united(rows, lambda parents: components.unite_pairs(a, b, parents)) == expected


@pytest.mark.parametrize("step", [1, -1])
def test_a_chain_of_any_direction_is_one_component(step):
    rows = 100_000
    a = np.arange(rows - 1)[::step].copy()
    assert set(united(rows, lambda parents: components.unite_pairs(a, a + 1, parents))) == {0}


def test_labels_do_not_depend_on_the_order_of_pairs():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 3000, (2, 2500))
    order = rng.permutation(a.size)
    first = united(3000, lambda parents: components.unite_pairs(a, b, parents))
    assert first == united(3000, lambda parents: components.unite_pairs(b[order], a[order], parents))
    assert len(set(first)) < 1500


def test_a_bucket_of_all_rows_is_one_component():
    keys, empty = np.full(100_000, 7, np.uint64), np.zeros(100_000, bool)
    empty[[0, 50]] = True
    labels = united(100_000, lambda parents: components.unite(keys, empty, parents))
    assert [labels[0], labels[50]] == [0, 50]
    assert set(labels) - {0, 50} == {1}


def test_keys_that_agree_in_their_low_half_are_told_apart():
    keys = np.arange(2000, dtype=np.uint64) % np.uint64(500) << np.uint64(32)  # all in one part and slot
    labels = united(2000, lambda parents: components.unite(keys, np.zeros(2000, bool), parents))
    assert labels == [row % 500 for row in range(2000)]


def test_no_rows_and_no_pairs():
    none = np.zeros(0, np.int64)
    assert united(0, lambda parents: components.unite(none.astype(np.uint64), none.astype(bool), parents)) == []
    assert united(3, lambda parents: components.unite_pairs(none, none, parents)) == [0, 1, 2]
