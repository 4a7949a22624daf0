import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain.run.stragglers import LEAST_SECONDS, find


@given(st.lists(st.floats(0.05, 5), min_size=2, max_size=9), st.floats(1.1, 4))
def test_a_straggler_is_slower_than_the_median_of_the_others(seconds, ratio):
    found = {straggler.rank: straggler for straggler in find(seconds, ratio)}
    for rank, own in enumerate(seconds):
        others = [value for other, value in enumerate(seconds) if other != rank]
        slow = own > ratio * statistics.median(others) and own - statistics.median(others) > LEAST_SECONDS
        assert (rank in found) == slow


@pytest.mark.parametrize(("seconds", "ratio"), [([1.0, 9.0], 0.0), ([1.0], 2.0), ([0.001, 0.009], 2.0)])
def test_none_is_named_with_ratio_0_alone_or_for_milliseconds(seconds, ratio):
    assert find(seconds, ratio) == []


@pytest.mark.slow
def test_a_rank_whose_loader_is_slow_is_named_once(run):
    code, printed = run(ranks=3, what="slow", rank=1, phase="data").wait()
    assert code == 0
    assert printed.count("rank 1 is a straggler") == 1
    assert printed.count("straggler") == 1
