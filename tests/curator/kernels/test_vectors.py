"""Unit vectors in fixed point: what they are, and that their products are exact."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from curator.kernels import vectors


def fixed(rows):
    """The definition, in numpy: to length 1, to multiples of 2^-24."""
    wide = rows.astype(np.float64)
    norms = np.array([np.sqrt(sum(float(x) ** 2 for x in row)) for row in wide])
    return (np.rint(wide / norms[:, None] * 2**24) / 2**24).astype(np.float32)


def test_against_the_definition():
    rows = np.random.default_rng(1).normal(size=(200, 33)).astype(np.float32)
    made, state = vectors.unit_rows(rows)
    assert (state == vectors.UNIT).all()
    assert np.array_equal(made, fixed(rows))
    assert np.abs((made.astype(np.float64) ** 2).sum(axis=1) - 1).max() < 1e-6


@pytest.mark.parametrize("size", [1e-44, 1e-20, 1.0, 1e20, 3e38])
def test_any_size_that_float32_holds_is_scaled(size):
    made, state = vectors.unit_rows(np.array([[size, -size, 0, 0]], np.float32))
    assert state.tolist() == [vectors.UNIT]
    assert made[0] == pytest.approx([0.5**0.5, -(0.5**0.5), 0, 0], abs=1e-7)


def test_missing_empty_zero_and_broken_lists_are_null():
    lists = [[3, 4], None, [], [0, 0], [1, float("nan")], [float("inf"), 1], [None, 1], [-5]]
    made, state = vectors.unit_lists(pa.array(lists, pa.large_list(pa.float32())))
    assert state.tolist() == [vectors.UNIT, *[vectors.ZERO] * 3, *[vectors.BROKEN] * 3, vectors.UNIT]
    assert made.to_pylist() == [pytest.approx([0.6, 0.8], abs=1e-7), *[None] * 6, [-1.0]]


def test_a_slice_is_like_the_whole():
    lists = pa.array([[1, 2], None, [3, 4, 5], [0], [7, 8]], pa.large_list(pa.float32()))
    whole, _ = vectors.unit_lists(lists)
    for start in range(6):
        for stop in range(start, 6):
            part, _ = vectors.unit_lists(lists[start:stop])
            assert part.equals(whole[start:stop])


def test_products_and_sums_are_exact():
    rows = np.random.default_rng(2).normal(size=(40, 1024)) ** 5  # a few components far above the others
    made, _ = vectors.unit_rows(rows.astype(np.float32))
    product = made.astype(np.float64) @ made.T.astype(np.float64)
    sums = np.zeros((1, 1024))
    vectors.add_rows(made, np.zeros(40, np.int64), sums)
    exact = [[Fraction(float(x)) for x in row] for row in made]
    for i, j in ((0, 1), (3, 3), (7, 39)):
        assert Fraction(float(product[i, j])) == sum(a * b for a, b in zip(exact[i], exact[j]))
    assert [Fraction(float(x)) for x in sums[0]] == [sum(column) for column in zip(*exact)]


def test_draws_are_spread_and_a_function_of_seed_and_place():
    drawn = vectors.draws(7, 1000)
    assert np.array_equal(drawn[:10], vectors.draws(7, 10))
    assert len(np.unique(np.append(drawn, vectors.draws(8, 1000)))) == 2000
    assert 0.45 < (drawn / 2.0**64).mean() < 0.55


@pytest.mark.parametrize("seed", range(5))
def test_no_error_of_rough_products_up_to_the_bound_changes_a_result(seed):
    rng = np.random.default_rng(seed)
    rows, _ = vectors.unit_rows(rng.normal(size=(8, 16))[rng.integers(0, 8, 90)] + 3e-3 * rng.normal(size=(90, 16)))
    exact = rows.astype(np.float64) @ rows.T.astype(np.float64)
    error = vectors.rough_error(16) * 50  # so that many pairs are in doubt
    limit = np.float32(np.sort(exact[exact < 1 - 1e-9].ravel())[-400])
    found = []
    for off in (np.zeros_like(exact), rng.choice([-0.99, 0, 0.99], exact.shape) * error):
        rough = (exact + off).astype(np.float32)
        wide = np.ascontiguousarray(rough[:, :60])
        near = vectors.nearest(rows, rows[:60], wide, error)
        assert np.array_equal(near[0], exact[:, :60].argmax(axis=1))
        found.append([*near, *vectors.first_near(rows, rows[:60], wide, error, limit),
                      *vectors.first_kept(rows, rough, error, limit)])  # fmt: skip
    for plain, doubtful in zip(*found):
        assert np.array_equal(plain, doubtful, equal_nan=True)
        assert len(np.unique(plain)) > 1


@pytest.mark.parametrize("dimensions", [1, 7, 384, 4096])
def test_float32_products_keep_within_their_bound(dimensions):
    rows, _ = vectors.unit_rows(np.random.default_rng(dimensions).normal(size=(200, dimensions)) ** 3)
    exact = rows.astype(np.float64) @ rows.T.astype(np.float64)
    assert np.abs((rows @ rows.T).astype(np.float64) - exact).max() <= vectors.rough_error(dimensions)
    assert vectors.dot(rows[0], rows[1]) == exact[0, 1]
