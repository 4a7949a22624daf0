"""Intervals against what is known of them."""

import numpy as np
import pytest

from serve.evaluate.interval import bootstrap, wilson


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_against_newcombe(count, of, low, high):
    assert wilson(count, of) == pytest.approx((low, high), abs=5e-5)


def test_wilson_is_symmetric_and_within_bounds():
    for count in range(11):
        low, high = wilson(count, 10)
        assert 0 <= low <= count / 10 <= high <= 1
        assert wilson(10 - count, 10) == pytest.approx((1 - high, 1 - low))


def test_bootstrap_comes_near_the_normal_interval_and_is_the_same_for_a_seed():
    values = np.random.default_rng(1).normal(2, 3, 500)
    low, high = bootstrap(values, 0)
    half = 1.96 * values.std() / np.sqrt(500)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert bootstrap(values, 0) == (low, high) != bootstrap(values, 1)


def test_bootstrap_of_equal_values_and_of_one():
    assert bootstrap(np.full(7, 0.5), 0) == (0.5, 0.5)
    assert bootstrap(np.array([1.0]), 0) == (1.0, 1.0)
