"""Bands and rows do what the formula says, what is proposed keeps its promise, and the curve is printable."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.dedup.bands import BAR, Choice, bar, probability, propose, s_curve, table
from curator.errors import SpecError


@given(st.fractions(0, 1, max_denominator=1000), st.integers(1, 60), st.integers(1, 30))
def test_probability_against_exact_fractions(s, bands, rows):
    exact = 1 - (1 - s**rows) ** bands
    assert float(probability(float(s), bands, rows)) == pytest.approx(float(exact), rel=1e-9, abs=1e-300)


def test_probability_against_counted_agreements():
    """Draw sketches whose values agree with probability s, and count the pairs that share a band."""
    rng = np.random.default_rng(0)
    for s in (0.5, 0.8):
        agree = rng.random((20_000, 14, 8)) < s
        share = agree.all(axis=2).any(axis=1).mean()
        expected = float(probability(s, 14, 8))
        assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / 20_000)


def test_probability_takes_arrays_and_keeps_small_digits():
    assert probability(np.array([0, 0.5, 1]), 20, 13).shape == (3,)
    assert float(probability(0.01, 1, 9)) == pytest.approx(1e-18)
    assert float(probability(1, 1, 100)) == 1


@pytest.mark.parametrize(("bands", "rows", "expected"), [(14, 8, 0.924), (20, 13, 0.677)])
def test_recall_at_the_threshold_of_settings_in_use(bands, rows, expected):
    assert Choice(bands, rows, 0.8).recall == pytest.approx(expected, abs=5e-4)


@settings(max_examples=30)
@given(st.floats(0.1, 1), st.integers(50, 600), st.floats(0.5, 0.9999))
def test_proposals_keep_their_promise_and_none_is_better_than_the_first(jaccard, size, recall):
    try:
        choices = propose(jaccard, size, recall)
    except SpecError:
        assert probability(jaccard, size, 1) < recall
        return
    for choice in choices:
        assert choice.size <= size
        assert choice.recall >= recall - 1e-9
    for rows in range(1, size + 1):
        for bands in {size // rows, *range(1, min(size // rows, 6))}:  # none that finds enough has a smaller area
            other = Choice(bands, rows, jaccard)
            if other.recall >= recall + 1e-9:
                assert other.false_positives >= choices[0].false_positives - 1e-12
    assert all(a.rows > b.rows and a.size > b.size for a, b in itertools.pairwise(choices))
    assert all(a.false_positives < b.false_positives for a, b in itertools.pairwise(choices))


def test_proposals_for_common_thresholds():
    assert [(c.bands, c.rows, c.bytes) for c in propose(0.8)] == [(26, 8, 208), (20, 7, 160), (16, 6, 128), (12, 5, 96)]
    assert (propose(0.8, 112)[0].bands, propose(0.8, 112)[0].rows) == (16, 6)
    assert (propose(1.0, 7, most=1)) == [Choice(1, 7, 1.0)]


def test_areas_against_exact_integrals():
    """With one band and one row the curve is the diagonal; with 2 bands of 2 rows it is 2 s^2 - s^4."""
    choice = Choice(1, 1, 0.75)
    assert choice.false_positives == pytest.approx(0.75**2 / 2, abs=1e-6)
    assert choice.false_negatives == pytest.approx(0.25**2 / 2, abs=1e-6)
    below = Fraction(2, 3) * Fraction(1, 8) - Fraction(1, 5) * Fraction(1, 32)
    choice = Choice(2, 2, 0.5)
    assert choice.false_positives == pytest.approx(float(below), abs=1e-6)
    assert choice.false_negatives == pytest.approx(0.5 - (2 / 3 - 1 / 5 - float(below)), abs=1e-6)


def test_the_curve_is_a_line_a_similarity_of_equal_width():
    lines = s_curve(14, 8, 0.83).splitlines()
    assert lines[0].startswith("14 bands x 8 rows")
    bars = lines[1:-2]
    assert len(bars) == 22  # 0, 0.05, ..., 1 and the threshold
    assert {len(line.removesuffix("  threshold")) for line in bars} == {6 + 2 + BAR + 2 + 6}
    assert [line for line in bars if line.endswith("threshold")] == [line for line in bars if "  0.83 " in line]
    assert [float(line.split()[0]) for line in bars] == sorted({*(i / 20 for i in range(21)), 0.83})
    shares = [float(line.removesuffix("threshold").split()[-1]) for line in bars]
    assert shares == [round(float(probability(float(line.split()[0]), 14, 8)), 4) for line in bars]
    assert lines[-2].endswith(f" {Choice(14, 8, 0.83).false_negatives:.4f}")
    assert lines[-1].endswith(f" {Choice(14, 8, 0.83).false_positives:.4f}")


def test_bars_fill_in_eighths():
    assert bar(0) == " " * BAR
    assert bar(1) == "█" * BAR
    assert bar(0.5 + 3 / 8 / BAR) == "█" * (BAR // 2) + "▍" + " " * (BAR // 2 - 1)


def test_the_table_has_a_line_a_choice():
    lines = table(propose(0.8)).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split() == ["26", "8", "208", "208", "0.9916", "0.0001", "0.1751"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: propose(0), "jaccard is 0; it must be above 0 and at most 1"),
        (lambda: propose(1.5), "jaccard is 1.5"),
        (lambda: propose(float("nan")), "jaccard is nan"),
        (lambda: propose(0.8, recall=1), "recall is 1"),
        (lambda: propose(0.01), "it takes 459 bands of 1 row"),
        (lambda: propose(0.8, 0), "no sketch of 0 values"),
        (lambda: propose(1e-200), "no sketch of 256 values"),
        (lambda: s_curve(0, 8, 0.8), "bands is 0; it must be at least 1"),
        (lambda: s_curve(14, 0, 0.8), "rows is 0; it must be at least 1"),
        (lambda: s_curve(14, 8, -1), "jaccard is -1"),
    ],
)
def test_bad_settings_are_refused(call, said):
    with pytest.raises(SpecError) as caught:
        call()
    assert said in str(caught.value)
