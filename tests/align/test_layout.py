"""Layouts say the same of every sequence, wherever it stands."""

import numpy as np
import pytest
import torch

from align.batch import Example, TokenSequence
from align.layout import empty, packed, padded


def example(number, *lengths):
    draw = np.random.default_rng(number)
    made = []
    for length in lengths:
        mask = draw.random(length) < 0.5
        mask[0] = False
        made.append(TokenSequence(draw.integers(1, 99, length), mask, {"old": draw.random(length - 1)}))
    each = tuple(float(length) for length in lengths)
    return Example(f"e{number}", tuple(made), {"margin": float(number), "attributes": np.full(3, number), "each": each})


EXAMPLES = [example(1, 5, 9), example(2, 2, 7), example(3, 4, 4)]


@pytest.mark.parametrize("batch", [padded(EXAMPLES), packed(EXAMPLES, 16), packed(EXAMPLES, 64, multiple=8)])
def test_every_sequence_is_there_whole(batch):
    flat = batch.tokens.flatten()
    sequences = [one for each in EXAMPLES for one in each.sequences]
    for n, one in enumerate(sequences):
        start, length = int(batch.starts[n]), int(batch.lengths[n])
        assert flat[start : start + length].tolist() == one.tokens.tolist()
        assert batch.positions.flatten()[start : start + length].tolist() == list(range(length))
        assert flat[batch.cells[n, : length - 1] + 1].tolist() == batch.labels[n, : length - 1].tolist()
        assert flat[batch.last_cells[n]] == one.tokens[-1]
        assert batch.mask[n].tolist() == [*one.mask[1:], *[False] * (batch.mask.shape[1] - length + 1)]
        assert np.allclose(batch.fields["old"][n, : length - 1], one.token_fields["old"])
    assert batch.fields["margin"].tolist() == [1, 1, 2, 2, 3, 3]
    assert batch.fields["each"].tolist() == [5, 9, 2, 7, 4, 4]
    assert batch.fields["attributes"].shape == (6, 3)
    assert batch.example.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("batch", [padded(EXAMPLES), packed(EXAMPLES, 16), packed(EXAMPLES, 64, multiple=8)])
def test_bounds_hold_every_row_and_every_sequence(batch):
    bounds, width = set(batch.cu_seqlens.tolist()), batch.tokens.shape[1]
    assert bounds >= set(range(0, batch.tokens.numel() + 1, width))
    assert bounds >= set((batch.starts + batch.lengths).tolist())
    assert bounds >= set(batch.starts.tolist())
    assert sorted(bounds) == batch.cu_seqlens.tolist()


def test_packing_leaves_less_padding():
    cells = padded(EXAMPLES).tokens.numel()
    assert packed(EXAMPLES, 16).tokens.numel() < cells
    assert packed(EXAMPLES, 16, multiple=8).tokens.shape[1] % 8 == 0


def test_a_longer_sequence_than_a_row_makes_the_rows_as_long():
    assert packed([example(1, 40), example(2, 3)], 16).tokens.shape[1] == 40


def test_an_empty_batch_has_the_fields_of_an_example_and_learns_nothing():
    batch = empty(EXAMPLES[0])
    assert not batch.mask.any()
    assert batch.example.tolist() == [-1, -1]
    assert batch.fields["old"].shape == (2, 1)
    assert batch.fields["attributes"].dtype == torch.int64
    assert batch.fields["each"].tolist() == [0, 0]
    assert not empty().mask.any()
