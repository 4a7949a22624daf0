"""Attention of the compiled kernels: a run of tokens, tokens alone, and numpy."""

import itertools

import numpy as np
import pytest

from serve.engine import kernels

BLOCK = 16


@pytest.mark.parametrize(("size", "each"), [(64, 1), (64, 3), (48, 2), (128, 1)])
@pytest.mark.parametrize(("first", "count"), [(0, 150), (61, 40), (120, 9), (127, 4)])
def test_a_run_of_tokens_attends_as_each_alone_to_the_bit_and_as_numpy_does(size, each, first, count):
    """Runs end on both sides of what is looked at together: 64 keys of size 64, 32 of size 128."""
    draw, groups = np.random.default_rng(size + first), 2
    heads = draw.standard_normal((count, groups, each + 2, size), np.float32)
    blocks = -(-(first + count) // BLOCK)
    keys, values = draw.standard_normal((2, blocks * BLOCK, groups, size), np.float32)
    table, of = draw.permutation(blocks)[None], np.zeros(count, np.int64)
    positions = np.arange(first, first + count)

    def attend(bounds):
        out = np.full((count, groups, each, size), np.nan, np.float32)
        for begin, end in itertools.pairwise(bounds):
            kernels.attend(heads, keys, values, table, of, positions, BLOCK, begin, end, out)
        return out

    together = attend([0, count])
    assert (together == attend(range(count + 1))).all()
    cells = table[0][np.arange(first + count) // BLOCK] * BLOCK
    cells = cells + np.arange(first + count) % BLOCK
    for t, position in enumerate(positions):
        near, far = keys[cells[: position + 1]], values[cells[: position + 1]]
        scores = np.einsum("ghd,kgd->ghk", heads[t, :, :each], near) / np.sqrt(size)
        share = np.exp(scores - scores.max(-1, keepdims=True))
        wanted = np.einsum("ghk,kgd->ghd", share / share.sum(-1, keepdims=True), far)
        np.testing.assert_allclose(together[t], wanted, atol=3e-6)
