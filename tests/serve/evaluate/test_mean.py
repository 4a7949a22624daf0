import math
import statistics

import numpy as np
import pytest

from serve.evaluate.interval import wilson
from serve.evaluate.mean import mean, ratio, share


def test_a_mean_has_the_error_of_the_textbook():
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    found = mean(values)
    assert (found.value, found.stderr) == pytest.approx((0.6, statistics.stdev(values) / math.sqrt(5)))
    assert mean([1.0]).stderr is None


def test_a_ratio_of_equal_sizes_is_a_mean():
    values = np.array([1.0, 2.0, 4.0, 4.5])
    one, other = ratio(values * 3, np.full(4, 3.0)), mean(values, False)
    assert (one.value, one.stderr) == pytest.approx((other.value, other.stderr))


def test_the_error_of_a_ratio_is_how_far_it_falls_when_drawn_anew():
    dice = np.random.default_rng(0)
    sizes = dice.integers(10, 1000, (4000, 200)).astype(float)
    totals = sizes * dice.normal(5, 1, (4000, 200))
    drawn = totals.sum(1) / sizes.sum(1)
    assert ratio(totals[0], sizes[0]).stderr == pytest.approx(drawn.std(), rel=0.2)


def test_a_share_of_none_or_all_has_an_interval_and_keeps_its_standard_error():
    none, all_, some = share([0.0] * 10), share(np.ones(4)), share([0.0, 1.0])
    assert (none.value, none.stderr, none.interval) == (0.0, 0.0, wilson(0, 10))
    assert (all_.value, all_.stderr, all_.interval) == (1.0, 0.0, wilson(4, 4))
    assert some.interval is None
