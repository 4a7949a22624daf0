import dataclasses
import math

import numpy as np
import pytest

from serve.errors import ServeSettingsError
from serve.evaluate import compare
from serve.evaluate.interval import bootstrap
from serve.evaluate.results import Results
from serve.evaluate.task import Measure, Result


def result(values, files="f", weights=None, higher=True, name="x", **settings):
    return Result(
        "t", len(values), {"m": Measure(float(np.mean(values)), 0.0, higher)}, 1.0, {"shots": 0, **settings},
        {name: files},
        {"m": np.array(values, float)}, weights={"m": np.array(weights, float)} if weights else {},
    )  # fmt: skip


def results(**tasks):
    return Results("folder", {"name": "n"}, tasks, {}, {})


def test_a_coin_is_the_exact_binomial_test():
    for better, worse in [(0, 0), (1, 0), (1, 5), (10, 3), (40, 60)]:
        tosses, few = better + worse, min(better, worse)
        expected = min(1.0, 2 * sum(math.comb(tosses, n) for n in range(few + 1)) / 2**tosses)
        assert compare.coin(better, worse) == pytest.approx(expected)


def test_the_interval_is_the_normal_one_where_items_are_many():
    dice = np.random.default_rng(0)
    apart = dice.choice([-1.0, 0.0, 1.0], 2000, p=[0.2, 0.5, 0.3])
    low, high = bootstrap(apart, 0, weights=np.ones(2000))
    error = 1.96 * apart.std(ddof=1) / math.sqrt(2000)
    assert (low, high) == pytest.approx((apart.mean() - error, apart.mean() + error), abs=0.1 * error)


def test_a_model_does_not_differ_from_itself():
    one = result([0.0, 1.0, 1.0, 0.0])
    found = compare.differences(one, one)["m"]
    assert (found.value, found.low, found.high, found.better, found.worse, found.p) == (0, 0, 0, 0, 0, 1)


def test_two_models_differ_as_one_from_the_other_turned_round():
    dice = np.random.default_rng(1)
    a, b = (result(dice.integers(0, 2, 200).astype(float)) for _ in range(2))
    one, other = compare.differences(a, b)["m"], compare.differences(b, a)["m"]
    assert one.value == -other.value == pytest.approx(a.measures["m"].value - b.measures["m"].value)
    assert (one.better, one.worse, one.p, one.test) == (other.worse, other.better, other.p, "McNemar")


def test_weights_make_the_difference_that_of_the_measures():
    a, b = result([1.0, 3.0], weights=[1, 9], higher=False), result([2.0, 2.0], weights=[1, 9], higher=False)
    found = compare.differences(a, b)["m"]
    assert found.value == pytest.approx((1 + 27) / 10 - 2)
    assert (found.better, found.worse, found.test) == (1, 1, "sign")


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({"task": result([1.0], files="g")}, "run on other files"),
        ({"task": result([1.0], shots=5)}, "run with shots 0 and 5"),
        ({"task": result([1.0], files="f", name="examples: x")}, "run on other files"),
        ({"tusk": result([1.0])}, "share no task: task against tusk"),
    ],
)
def test_results_of_other_items_are_not_compared(theirs, said):
    with pytest.raises(ServeSettingsError) as raised:
        compare.compare(results(task=result([1.0])), results(**theirs))
    assert said in str(raised.value)


def test_the_same_files_in_another_order_are_other_items():
    one = result([1.0, 0.0])
    files = {"a": "1", "b": "2"}
    mine, other = (dataclasses.replace(one, files=dict(found)) for found in (files.items(), reversed(files.items())))
    with pytest.raises(ServeSettingsError, match="in another order"):
        compare.compare(results(task=mine), results(task=other))


def test_a_length_is_compared_but_neither_is_better():
    found = compare.differences(result([3.0, 9.0, 5.0], higher=None), result([1.0, 2.0, 6.0], higher=None))["m"]
    assert (found.better, found.worse, found.merit) == (2, 1, False)
