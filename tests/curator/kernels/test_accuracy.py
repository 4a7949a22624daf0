"""Every kind of sketch estimates Jaccard similarity as well as theory says."""

import numpy as np
import pandas as pd
import pytest

from curator import kernels
from curator.kernels import cudf_minhash, minhash, signatures, sketch
from tests.curator.kernels.specification import character_shingles_of, cudf_windows, jaccard, shingles_of, words_of

SIZE = 112


def by_fss(hashes):
    best = np.empty(SIZE, np.uint64)
    sketch.sketch_set(hashes, np.uint32(0), best)
    return best.astype(np.uint32)


def by_permutations(a, b):
    a, b = minhash.padded(a), minhash.padded(b)

    def made(hashes):
        elements, least = np.zeros(hashes.size + minhash.SWEEP, np.uint32), np.empty(a.size, np.uint32)
        elements[: hashes.size] = hashes >> np.uint64(32)
        minhash.minima(elements, hashes.size, a, b, least)
        return least[:SIZE]

    return made


SKETCHES = {
    "fss": by_fss,
    "minhash": by_permutations(*minhash.parameters(SIZE, np.uint32(0))),
    "cudf": by_permutations(*cudf_minhash.parameters(SIZE, 0, 32)[:2]),
}


def estimates(made, union, common, pairs):
    """Return the estimates for pairs of random sets of equal size, with so many elements in all and in common."""
    split = common + (union - common) // 2
    rng = np.random.default_rng(union)
    found = np.empty(pairs)
    for pair in range(pairs):
        hashes = rng.integers(0, 2**64, union, np.uint64)
        one, other = made(hashes[:split]), made(np.concatenate((hashes[:common], hashes[split:])))
        found[pair] = (one == other).mean()
    return found


@pytest.mark.parametrize("kind", SKETCHES)
@pytest.mark.parametrize("similarity", [0.5, 0.8])
@pytest.mark.parametrize("union", [30, 600, 4000])
@pytest.mark.parametrize("pairs", [1000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_estimates_are_unbiased_and_as_sharp_as_independent_values(kind, similarity, union, pairs):
    true = round(similarity * union) / union
    found = estimates(SKETCHES[kind], union, round(similarity * union), pairs)
    ideal = np.sqrt(true * (1 - true) / SIZE)
    assert abs(found.mean() - true) <= max(3 * ideal / np.sqrt(pairs), 0.002)
    assert found.std() <= 1.1 * ideal
    if kind == "fss" and union < 10 * SIZE:  # bins hold few elements: sharper than independent values
        assert found.std() <= 0.95 * ideal


def text_pair(rng, words, changed):
    """Return two texts of so many words each, which differ in some."""
    first = ["".join(map(chr, rng.integers(97, 123, 7))) for _ in range(words)]
    second = list(first)
    for i in rng.choice(words, changed, replace=False):
        second[i] = "".join(map(chr, rng.integers(97, 123, 7)))
    return " ".join(first), " ".join(second)


def compared(text, kind, shingles, width):
    """Return the set that a kind of sketch compares texts by."""
    if shingles == "words":
        return set(cudf_windows(words_of(text), width + 1)) if kind.startswith("cudf") else shingles_of(text, width)
    return set(cudf_windows(text, width)) if kind.startswith("cudf") else character_shingles_of(text, width)


@pytest.mark.parametrize("kind", signatures.SKETCHES)
@pytest.mark.parametrize(("shingles", "width"), [("words", 2), ("characters", 9)])
def test_estimates_of_texts_are_unbiased(kind, shingles, width):
    """The whole way from text: hashes of real shingles serve as well as random ones."""
    rng = np.random.default_rng(1)
    pairs = [text_pair(rng, 60, 6) for _ in range(300)]
    sides = [
        np.stack(kernels.sketches(pd.Series(side), kind, shingles, width, SIZE, 0)["sketch"].to_numpy())
        for side in zip(*pairs)
    ]
    found = (sides[0] == sides[1]).mean(axis=1)
    true = np.array([jaccard(*(compared(text, kind, shingles, width) for text in pair)) for pair in pairs])
    ideal = np.sqrt((true * (1 - true)).mean() / SIZE)
    assert 0.4 < true.mean() < 0.9
    assert abs((found - true).mean()) <= 3 * ideal / np.sqrt(len(pairs))
    assert (found - true).std() <= 1.15 * ideal  # a standard error of a deviation from 300 pairs is 4%
