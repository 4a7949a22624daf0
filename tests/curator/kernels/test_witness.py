"""The witness rule equals its own words in plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels import lsh, shingles, sketch, witness
from tests.curator.kernels.specification import buffers, jaccard, kept_by_rule, shingles_of


def joined(sets):
    """Return (starts, flat) of sets of small integers."""
    starts = np.cumsum([0, *map(len, sets)], dtype=np.int64)
    return starts, np.array([element for s in sets for element in sorted(s)], np.uint64)


def assert_by_rule(keys, order, sets, threshold, cap):
    verdict = witness.witness_rule(keys, order, *joined(sets), threshold, cap)
    expected = kept_by_rule(keys, order, sets, threshold, cap)
    np.testing.assert_array_equal(verdict.witness, expected[0])
    np.testing.assert_array_equal(verdict.similarity, expected[1])
    assert len(verdict.over_cap) == expected[2]


@given(
    rows=st.integers(0, 40),
    bands=st.integers(1, 4),
    distinct=st.integers(1, 12),
    threshold=st.sampled_from([0.2, 0.5, 2 / 3, 0.8, 1.0]),
    cap=st.sampled_from([1, 2, 3, 1000]),
    seed=st.integers(0, 10**6),
)
def test_against_the_rule_in_plain_python(rows, bands, distinct, threshold, cap, seed):
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**64, distinct, np.uint64)[rng.integers(0, distinct, (rows, bands))]
    keys ^= np.arange(bands, dtype=np.uint64)  # keys of different bands differ, as the band hash makes them
    sets = [set(rng.choice(8, rng.integers(1, 8), replace=False).tolist()) for _ in range(rows)]
    assert_by_rule(keys, rng.permutation(rows), sets, threshold, cap)


def edited(rng, words, share):
    """Replace a share of the words by others."""
    return [f"new{rng.integers(1000)}" if rng.random() < share else word for word in words]


def test_texts_with_chains_of_edits_against_the_rule():
    rng = np.random.default_rng(3)
    documents = [[f"word{i}" for i in rng.integers(0, 300, rng.integers(5, 150))] for _ in range(40)]
    for _ in range(200):
        documents.append(edited(rng, documents[rng.integers(len(documents))], rng.choice([0, 0.01, 0.03])))
    texts = [" ".join(document) for document in documents]
    sketches, empty = sketch.sketch(*buffers(texts), 112, 5, 0)
    keys = lsh.band_hashes(sketches, 14)
    rows = np.flatnonzero(lsh.candidates(keys, empty))
    order = rng.permutation(rows.size)
    evidence = shingles.sets(*buffers([texts[row] for row in rows]), 5)
    verdict = witness.witness_rule(keys[rows], order, *evidence, 0.8, 1000)
    sets = [shingles_of(texts[row], 5) for row in rows]
    expected = kept_by_rule(keys[rows], order, sets, 0.8, 1000)
    np.testing.assert_array_equal(verdict.witness, expected[0])
    np.testing.assert_array_equal(verdict.similarity, expected[1])
    assert (verdict.witness >= 0).sum() > 50
    rank = np.argsort(order)
    for row in np.flatnonzero(verdict.witness >= 0):
        by = verdict.witness[row]
        assert verdict.witness[by] == witness.KEPT
        assert rank[by] < rank[row]
        assert verdict.similarity[row] == jaccard(sets[row], sets[by]) >= 0.8


def test_a_chain_loses_only_those_with_a_kept_neighbour():
    sets = [set(range(k, k + 9)) for k in range(4)]  # neighbours share 8 of 10, the next but one 7 of 11
    keys = np.zeros((4, 1), np.uint64)
    verdict = witness.witness_rule(keys, np.arange(4), *joined(sets), 0.8, 10)
    assert verdict.witness.tolist() == [-1, 0, -1, 2]
    assert verdict.similarity[[1, 3]].tolist() == [0.8, 0.8]
    assert np.isnan(verdict.similarity[[0, 2]]).all()


def test_a_full_bucket_compares_with_its_first_members_and_is_counted():
    sets = [{0}, {1}, {2}, {2}, {0}]
    keys = np.zeros((5, 1), np.uint64)
    verdict = witness.witness_rule(keys, np.arange(5), *joined(sets), 0.8, 2)
    assert verdict.witness.tolist() == [-1, -1, -1, -1, 0]
    assert len(verdict.over_cap) == 1


def test_documents_in_no_common_bucket_are_never_compared():
    keys = np.arange(4, dtype=np.uint64).reshape(2, 2)
    verdict = witness.witness_rule(keys, np.arange(2), *joined([{1}, {1}]), 0.8, 10)
    assert verdict.witness.tolist() == [-1, -1]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1 / 3, 2 / 3, 1.0])
def test_similarity_at_the_threshold_is_never_lost_to_rounding(threshold):
    for a in range(1, 60):
        for b in range(a, 60):
            for common in {math.floor(threshold * (a + b) / (1 + threshold)) + d for d in (-1, 0, 1)}:
                if 0 <= common <= a:
                    ours = np.arange(a, dtype=np.uint64)
                    theirs = np.arange(a - common, a - common + b, dtype=np.uint64)
                    true = common / (a + b - common)
                    found = witness.similarity_from(ours, theirs, threshold)
                    assert found == true or (found == 0 and true < threshold)


@pytest.mark.parametrize("threshold", [1e-9, 0.5, 0.8])
def test_similarity_of_long_sets_against_python_sets(threshold):
    rng = np.random.default_rng(5)
    for size in [*range(1, 140, 3), 700]:
        for other in (size, 3 * size // 4 + 1, 5 * size):
            for spread in (6 * size, 2 * size):  # values ascend in step, or one set lies apart at an end
                ours = rng.choice(spread, size, replace=False)
                theirs = rng.choice(max(spread, other), other, replace=False) + rng.choice([0, size])
                true = jaccard(set(ours.tolist()), set(theirs.tolist()))
                found = witness.similarity_from(*(np.sort(s).astype(np.uint64) for s in (ours, theirs)), threshold)
                assert found == true or (found == 0 and true < threshold)
