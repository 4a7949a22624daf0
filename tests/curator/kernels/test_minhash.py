"""MinHash meets its specification, over words and over characters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels import minhash, signatures
from tests.curator.kernels import specification
from tests.curator.kernels.specification import (
    ALL32,
    buffers,
    character_shingle_hash,
    character_shingles_of,
    mix32,
    shingle_hash,
    shingles_of,
)
from tests.curator.kernels.test_characters import spaced
from tests.curator.kernels.test_sketch import documents


def hashes_of(text, shingles, width):
    if shingles == "words":
        return [shingle_hash(s) for s in shingles_of(text, width)]
    return [character_shingle_hash(s) for s in character_shingles_of(text, width)]


@given(
    st.one_of(documents, st.lists(spaced, max_size=4)),
    st.sampled_from(["words", "characters"]),
    st.sampled_from([1, 7, 64, 112]),
    st.integers(1, 6),
    st.integers(0, ALL32),
)
def test_sketches_are_those_of_the_specification(texts, shingles, size, width, seed):
    sketches, empty = signatures.signatures(*buffers(texts), "minhash", shingles, width, size, seed)
    assert sketches.shape == (len(texts), size)
    for text, values, is_empty in zip(texts, sketches, empty, strict=True):
        hashes = hashes_of(text, shingles, width)
        assert is_empty == (not hashes)
        assert values.tolist() == (specification.minhash(hashes, size, seed) if hashes else [0] * size)


@given(st.lists(spaced, max_size=4), st.sampled_from([1, 16, 112]), st.integers(1, 30), st.integers(0, ALL32))
def test_fast_similarity_sketches_of_characters_are_those_of_the_specification(texts, size, width, seed):
    sketches, empty = signatures.signatures(*buffers(texts), "fss", "characters", width, size, seed)
    for text, values, is_empty in zip(texts, sketches, empty, strict=True):
        hashes = hashes_of(text, "characters", width)
        assert is_empty == (not hashes)
        assert values.tolist() == (specification.sketch(hashes, size, seed) if hashes else [0] * size)


@pytest.mark.parametrize(
    ("sketch", "shingles", "width", "expected"),
    [
        ("minhash", "words", 5, [710365689, 749212713, 632740441, 66199694]),
        ("minhash", "characters", 24, [278271278, 322587785, 388557208, 118602767]),
        ("fss", "characters", 24, [405039581, 308112863, 576022966, 392954051]),
    ],
)
def test_golden_sketches_are_frozen(sketch, shingles, width, expected):
    texts = ["the quick brown fox jumps over the lazy dog", ""]
    sketches, empty = signatures.signatures(*buffers(texts), sketch, shingles, width, 4, 1)
    assert sketches.tolist() == [expected, [0, 0, 0, 0]]
    assert empty.tolist() == [False, True]


def test_parameters_are_those_of_the_specification():
    a, b = minhash.parameters(3, np.uint32(ALL32))
    drawn = [mix32(mix32(ALL32) + j * 0x9E3779B9 & ALL32) for j in range(6)]
    assert a.tolist() == [x | 1 for x in drawn[::2]]
    assert b.tolist() == drawn[1::2]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1000])
def test_minima_take_all_elements_and_no_others(count):
    rng = np.random.default_rng(count)
    elements = np.zeros(count + minhash.SWEEP + 100, np.uint32)  # zeros past the end would give the value b
    elements[:count] = rng.integers(1, 2**32, count)
    a, b = np.zeros(70, np.uint32) + np.uint32(1), np.zeros(70, np.uint32)
    out = np.empty(minhash.padded(a).size, np.uint32)
    expected = elements[:count].min()
    minhash.minima(elements, count, minhash.padded(a), minhash.padded(b), out)
    assert set(out[:70].tolist()) == {expected}
