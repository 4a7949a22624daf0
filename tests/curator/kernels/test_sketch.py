"""Sketches meet their specification; how well they estimate is in test_accuracy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels import sketch
from tests.curator.kernels import specification
from tests.curator.kernels.specification import buffers, shingle_hash, shingles_of

WORDS = ["the", "of", "and", "Ⱥ", "İstanbul", "in", "中文", "to", "a", "is", "B", "7", "𝒜", "für"]
documents = st.lists(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join), max_size=4)


@given(documents, st.sampled_from([1, 7, 16, 112]), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_sketches_are_those_of_the_specification(texts, size, width, seed):
    sketches, empty = sketch.sketch(*buffers(texts), size, width, seed)
    assert sketches.shape == (len(texts), size)
    for text, values, is_empty in zip(texts, sketches, empty, strict=True):
        hashes = [shingle_hash(s) for s in shingles_of(text, width)]
        assert is_empty == (not hashes)
        expected = specification.sketch(hashes, size, seed) if hashes else [0] * size
        assert values.tolist() == expected


def test_golden_sketches_are_frozen():
    texts = ["the quick brown fox jumps over the lazy dog", "", "one"]
    sketches, empty = sketch.sketch(*buffers(texts), 8, 5, 1)
    assert empty.tolist() == [False, True, False]
    assert sketches.tolist() == [
        [359083877, 859089713, 1019943867, 3602108154, 631497040, 2733607436, 759917786, 1211687073],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [382868047, 1586006432, 509196893, 1113223422, 2110480351, 1460773793, 1314556520, 221966965],
    ]


def test_a_sketch_does_not_depend_on_its_neighbours():
    texts = [" ".join(WORDS[i % n] for i in range(40)) for n in range(1, 14)] + ["", "long " * 3000]
    whole, empty = sketch.sketch(*buffers(texts), 112, 5, 0)
    alone = [sketch.sketch(*buffers([text]), 112, 5, 0) for text in texts]
    np.testing.assert_array_equal(whole, np.concatenate([values for values, _ in alone]))
    np.testing.assert_array_equal(empty, np.concatenate([is_empty for _, is_empty in alone]))


def test_seeds_give_other_sketches():
    first, second = (sketch.sketch(*buffers(["a b c d e f g"]), 112, 2, seed)[0] for seed in (0, 1))
    assert (first == second).mean() < 0.05
