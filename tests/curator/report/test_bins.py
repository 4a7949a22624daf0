"""Spreads and bins: exact counts, deterministic axes, limits in sight."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator import frames
from curator.identify.language import IdentifyLanguage
from curator.report.bins import bins
from curator.report.spread import Limit, Spread, quantile


def spread(values, *limits, kind=None):
    made = Spread(limits)
    made.add(pa.chunked_array([pa.array(values, kind)]))
    return made


floats = st.lists(st.one_of(st.none(), st.floats(width=64)), max_size=50)


@given(floats, st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_every_value_is_in_one_bin_or_said_to_be_left_out(values, at, below):
    made = spread(values, Limit("limit", at, below, 0, "r"), kind=pa.float64())
    finite = [v for v in values if v is not None and np.isfinite(v)]
    assert made.values == len(finite)
    assert made.nulls == len(values) - len(finite)
    assert made.over == [sum(v < at if below else v > at for v in finite)]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(-1e6, 1e6), st.booleans())
def test_bins_hold_all_values(values, at, below):
    made = spread(values, Limit("limit", at, below, 0, "r"))
    shown = bins(made)
    assert int((shown.inside + shown.beyond).sum()) + (shown.zeros or 0) == len(values)
    assert int(shown.beyond.sum()) == made.over[0]
    assert (np.diff(shown.edges) > 0).all()


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=60), st.integers(0, 10**7))
def test_bins_hold_all_whole_numbers(values, at):
    made = spread(values, Limit("limit", at, True, 0, "r"))
    shown = bins(made)
    assert int((shown.inside + shown.beyond).sum()) == len(values)
    assert (np.diff(shown.edges) > 0).all()


def test_order_and_pieces_change_nothing():
    values = np.random.default_rng(0).lognormal(3, 2, 5000)
    whole, pieces = spread(values), Spread()
    for piece in np.array_split(values[::-1], 7):
        pieces.add(pa.chunked_array([pa.array(piece)]))
    assert all(np.array_equal(a, b) for a, b in zip(whole.table(), pieces.table(), strict=True))


def test_a_spread_is_small_and_near():
    values = np.random.default_rng(0).lognormal(3, 2, 200_000)
    keys, counts, _ = spread(values).table()
    assert len(keys) < 20_000
    assert quantile(keys, counts, 0.5) == pytest.approx(np.median(values), rel=0.002)


def test_a_share_shows_its_limit_and_tells_zeros_apart():
    shown = bins(spread([0.0] * 90 + [0.01] * 10, Limit("max", 0.3, False, 0, "r")))
    assert shown.zeros == 90
    assert 0.9 < shown.place(0.3) <= 1


def test_counts_of_words_have_a_logarithmic_axis_with_both_limits():
    made = spread([3, 60, 800, 5000], Limit("min", 50, True, 0, "a"), Limit("max", 100_000, False, 0, "b"))
    shown = bins(made)
    assert shown.log
    assert made.over == [1, 0]
    assert None not in (shown.place(50), shown.place(100_000), shown.place(3))


def test_few_whole_numbers_have_a_bin_each():
    shown = bins(spread([0, 1, 1, 8], Limit("min", 2, True, 0, "r")))
    assert shown.each
    assert shown.inside.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert shown.beyond.tolist() == [1, 2, 0, 0, 0, 0, 0, 0, 0]


def test_float32_is_compared_as_the_filter_does():
    """A float32 of 0.65 lies below 0.65, to which it is not equal."""
    values = pa.array(np.array([0.65, np.nextafter(np.float32(0.65), np.float32(1)), 0.3], np.float32))
    made = spread(values, Limit("min", 0.65, True, 0, "r"), kind=pa.float32())
    signals = frames.from_arrow(pa.table({"lang": ["en"] * 3, "lang_score": values}))
    (rejected,) = IdentifyLanguage(min_score=0.65).reject(signals).values()
    assert made.over == [int(rejected.sum())] == [2]
