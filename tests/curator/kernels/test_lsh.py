"""Buckets and candidates are those a dictionary finds."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels import lsh
from tests.curator.kernels import specification


def by_dictionary(keys, empty):
    """Return (candidates, bucket numbers) by counting (band, key) pairs."""
    pairs = [[(band, key) for band, key in enumerate(row)] for row in keys.tolist()]
    counts = Counter(pair for row, gone in zip(pairs, empty) if not gone for pair in row)
    numbers = {}
    for band in range(keys.shape[1]):
        for row, gone in zip(pairs, empty):
            if not gone and counts[row[band]] > 1:
                numbers.setdefault(row[band], len(numbers))
    buckets = [[-1 if gone else numbers.get(pair, -1) for pair in row] for row, gone in zip(pairs, empty)]
    return np.array(buckets).reshape(keys.shape)


def assert_as_by_dictionary(keys, empty):
    np.testing.assert_array_equal(lsh.candidates(keys, empty), (by_dictionary(keys, empty) >= 0).any(axis=1))
    whole = keys[~empty]
    np.testing.assert_array_equal(lsh.buckets(whole), by_dictionary(whole, np.zeros(len(whole), bool)))


@given(st.integers(0, 40), st.integers(1, 5), st.integers(1, 30), st.integers(0, 99))
def test_against_a_dictionary(rows, bands, distinct, seed):
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**64, distinct, np.uint64)[rng.integers(0, distinct, (rows, bands))]
    assert_as_by_dictionary(keys, rng.random(rows) < 0.2)


def test_many_parts_against_a_dictionary():
    rng = np.random.default_rng(0)
    rows = 5 * lsh.PART_ROWS
    keys = rng.integers(0, 2**64, rows, np.uint64)[rng.integers(0, rows, (rows, 2))]
    assert_as_by_dictionary(keys, rng.random(rows) < 0.01)


@pytest.mark.parametrize("shift", [0, 40, 63])
def test_keys_that_crowd_one_part_or_slot_are_still_told_apart(shift):
    keys = (np.arange(3000, dtype=np.uint64) % np.uint64(1000) << np.uint64(shift)).reshape(-1, 1)
    assert_as_by_dictionary(keys, np.zeros(3000, bool))


def test_empty_rows_share_nothing():
    keys = np.zeros((3, 2), np.uint64)
    assert lsh.candidates(keys, np.array([True, True, False])).tolist() == [False] * 3
    assert lsh.candidates(keys, np.array([True, False, False])).tolist() == [False, True, True]


@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
@pytest.mark.parametrize("bands", [1, 4, 14])
def test_band_hashes_are_those_of_the_specification(bands, kind):
    sketches = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (5, 8 * bands), kind, endpoint=True)
    expected = [specification.band_keys(row, bands) for row in sketches.tolist()]
    assert lsh.band_hashes(sketches, bands).tolist() == expected


def test_golden_band_hashes_are_frozen():
    keys = lsh.band_hashes(np.arange(8, dtype=np.uint32).reshape(1, 8), 2)
    assert keys.tolist() == [[0x518B5904334F373D, 0xC19E70C1C374C1C9]]


def test_equal_bands_of_different_number_have_different_keys():
    keys = lsh.band_hashes(np.ones((2, 8), np.uint32), 4)
    assert len(set(keys[0].tolist())) == 4
    assert keys[0].tolist() == keys[1].tolist()
