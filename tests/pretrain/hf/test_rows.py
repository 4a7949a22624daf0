"""Laws of the rule between layouts, on made-up matrices and on every family's table."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.hf.rows import PADDING, Matrix, Run
from pretrain.hf.tables import table
from tests.pretrain.hf.models import MODELS


class Memory:
    """Hugging Face tensors in memory."""

    def __init__(self, tensors: dict[str, torch.Tensor]):
        self.tensors = tensors

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        return self.tensors[name][tuple(slice(*b) for b in bounds)]


def numbered(matrix: Matrix) -> Memory:
    """Return tensors for a matrix, in which no two numbers are the same."""
    made, first = {}, 1
    for name, shape in matrix.sources().items():
        count = torch.Size(shape).numel()
        made[name] = torch.arange(first, first + count, dtype=torch.float64).reshape(shape)
        first += count
    return Memory(made)


@st.composite
def matrices(draw: Any) -> Matrix:
    """Cut tensors into runs, shuffle the runs, put padding anywhere."""
    runs = []
    for name in ("a", "b", "c")[: draw(st.integers(1, 3))]:
        bounds = [0, *sorted(draw(st.sets(st.integers(1, 8), min_size=1, max_size=4)))]
        runs += [Run(name, low, high) for low, high in itertools.pairwise(bounds)]
    runs += [Run(PADDING, 0, n) for n in draw(st.lists(st.integers(1, 3), max_size=2))]
    columns = draw(st.none() | st.integers(1, 4))
    return Matrix("key", tuple(draw(st.permutations(runs))), columns, None, columns is not None and draw(st.booleans()))


@settings(max_examples=40)
@given(matrices(), st.data())
def test_a_window_is_that_part_of_the_whole(matrix, data):
    source = numbered(matrix)
    whole = matrix.join(source, (0, 0)[: len(matrix.shape)], matrix.shape)
    assert whole.shape == matrix.shape
    low = [data.draw(st.integers(0, n - 1)) for n in matrix.shape]
    high = [data.draw(st.integers(a + 1, n)) for a, n in zip(low, matrix.shape)]
    window = matrix.join(source, tuple(low), tuple(b - a for a, b in zip(low, high)))
    assert torch.equal(window, whole[tuple(slice(a, b) for a, b in zip(low, high))])


@settings(max_examples=40)
@given(matrices())
def test_splitting_gives_back_what_was_joined_and_padding_is_zero(matrix):
    source = numbered(matrix)
    whole = matrix.join(source, (0, 0)[: len(matrix.shape)], matrix.shape)
    back = dict(matrix.split(whole))
    assert back.keys() == source.tensors.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in source.tensors.items())
    numbers = sum(tensor.numel() for tensor in source.tensors.values())
    assert int((whole != 0).sum()) == numbers
    assert whole.numel() - numbers == sum(run.rows for run in matrix.runs if run.name == PADDING) * (
        matrix.columns or 1
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_of_a_family_is_whole_in_one_matrix(name):
    """So that export can write a tensor as soon as it has read a matrix."""
    family, _, model = MODELS[name]
    seen: set[str] = set()
    for matrix in table(model, family):
        names = list(matrix.sources())
        assert not seen & set(names)
        seen |= set(names)
        for source, shape in matrix.sources().items():
            rows = sorted((run.start, run.stop) for run in matrix.runs if run.name == source)
            assert [low for low, _ in rows] == [0, *(high for _, high in rows[:-1])]
            assert rows[-1][1] == shape[1 if matrix.transposed else 0]


def test_queries_keys_and_values_are_grouped_by_key_head():
    """Against a plain loop over heads (Megatron reshapes to groups x (queries + 2) x head_dim)."""
    family, _, model = MODELS["qwen3"]
    matrix = next(m for m in table(model, family) if m.key == "decoder.layers.1.self_attention.linear_qkv.weight")
    source = numbered(matrix)
    joined = matrix.join(source, (0, 0), matrix.shape).reshape(4, 2 + 2, 16, 64)
    q, k, v = (source.tensors[f"model.layers.1.self_attn.{x}_proj.weight"] for x in "qkv")
    for group in range(4):
        for query in range(2):
            head = group * 2 + query
            assert torch.equal(joined[group, query], q[head * 16 : head * 16 + 16])
        assert torch.equal(joined[group, 2], k[group * 16 : group * 16 + 16])
        assert torch.equal(joined[group, 3], v[group * 16 : group * 16 + 16])
