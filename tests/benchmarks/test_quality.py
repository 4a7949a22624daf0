"""The judge of deduplication, against plain Python sets."""

from __future__ import annotations

import itertools
import random
import re

import numpy as np
import pyarrow as pa

from benchmarks import quality
from curator.kernels import shingles
from curator.kernels.arrow import flatten


def jaccard(a: str, b: str) -> float:
    """The definition."""
    sets = []
    for text in (a, b):
        words = re.findall(r"\w+", text.lower())
        sets.append({tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))} if words else set())
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def texts(seed: int) -> list[str]:
    """Documents of few words, many of them edited copies of others."""
    choose = random.Random(seed)
    found = [" ".join(choose.choices("abcdefgh", k=choose.randint(5, 60))) for _ in range(30)]
    for text in list(found):
        words = text.split()
        words[choose.randrange(len(words))] = "Ü"
        found.append(" ".join(words))
    return [*found, "only three words", "Only, three: words!"]


def test_the_join_finds_exactly_the_pairs_that_plain_sets_find():
    documents = texts(0)
    starts, flat = shingles.sets(*flatten(pa.array(documents, pa.large_string())), quality.WIDTH)
    for threshold in (0.5, 0.8, 1.0):
        a, b, similarity = quality.similar_pairs(starts, flat, threshold)
        found = dict(zip(zip(a.tolist(), b.tolist()), similarity.tolist()))
        pairs = itertools.combinations(range(len(documents)), 2)
        expected = {(i, j): jaccard(documents[i], documents[j]) for i, j in pairs}
        assert found == {pair: s for pair, s in expected.items() if s >= threshold}
        assert found


def test_a_removal_without_a_kept_partner_is_noticed():
    one, other = np.array([0, 2]), np.array([1, 3])  # rows 0 and 1 are alike, and 2 and 3; row 4 is alone
    alike = quality.Alike(5, one, other, np.ones(2), np.array([[0, 1], [2, 3]]), 0.0)
    right = quality.judge(alike, np.array([True, False, True, True, True]))
    assert (right.removed, right.recall, right.justified, right.left) == (1, 0.5, 1.0, 1)
    wrong = quality.judge(alike, np.array([False, False, True, False, False]))
    assert (wrong.removed, wrong.recall, wrong.unjustified, wrong.left) == (4, 1.0, 3, 0)


def test_a_witness_must_be_kept_and_alike():
    alike = quality.Alike(4, np.array([0]), np.array([1]), np.ones(1), np.zeros((0, 2), np.int64), 0.0)
    kept = np.array([True, False, True, False])
    assert quality.witnesses_hold(alike, np.array([1]), np.array([0]), kept)
    assert not quality.witnesses_hold(alike, np.array([3]), np.array([2]), kept)
    assert not quality.witnesses_hold(alike, np.array([0]), np.array([1]), kept)
