"""Curves: no spike is lost, and everything stands where it should."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.report.curves import HEIGHT, LEFT, MOST, TOP, WIDTH, Chart, Line, axes, decimate, draw

NONE = np.zeros(0, np.int64)


@settings(max_examples=60)
@given(values=st.lists(st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf]), max_size=300), most=st.integers(4, 50))
def test_decimated_points_are_points_and_hold_the_extremes_of_every_bin(values, most):
    numbers = np.array(values, np.float64)
    steps = np.arange(10, 10 + 3 * len(values), 3)
    kept_steps, kept = decimate(steps, numbers, most)
    there = np.isfinite(numbers)
    assert len(kept) <= most
    assert (np.diff(kept_steps) > 0).all()
    assert dict(zip(kept_steps.tolist(), kept.tolist())).items() <= dict(zip(steps.tolist(), values)).items()
    if there.any():
        assert (kept.min(), kept.max()) == (numbers[there].min(), numbers[there].max())
        assert kept_steps[[0, -1]].tolist() == steps[there][[0, -1]].tolist()
    if there.sum() <= most:
        assert kept_steps.tolist() == steps[there].tolist()


def test_each_narrow_spike_of_a_long_run_is_drawn():
    values = np.full(1_000_000, 2.0)
    spikes = np.arange(5_000, 1_000_000, 7_919)
    values[spikes] = 9.0
    _, kept = decimate(np.arange(1_000_000), values)
    assert (kept == 9.0).sum() == len(spikes)
    assert len(kept) <= MOST
    _, kept = decimate(np.arange(1_000_000), -values)
    assert (kept == -9.0).sum() == len(spikes)


def points(figure: str, number: int = 0) -> np.ndarray:
    path = re.search(rf'<path class="line l{number}"[^>]* d="M([^"]*)"', figure)
    assert path
    return np.array([[float(n) for n in pair.split()] for pair in path[1].split("L")])


@pytest.mark.parametrize("log", [False, True])
def test_points_are_in_proportion(log):
    steps, values = np.array([10, 20, 40]), np.array([1.0, 10.0, 100.0])
    figure, carried = draw(Chart("c", "C", (Line("c", steps, values),), log=log), 10, 40, {})
    found = points(figure)
    assert found[:, 0] == pytest.approx([LEFT, LEFT + WIDTH / 3, LEFT + WIDTH], abs=0.06)
    placed = np.log10(values) if log else values
    share = (placed - placed[0]) / (placed[-1] - placed[0])
    assert (found[0, 1] - found[:, 1]) / (found[0, 1] - found[-1, 1]) == pytest.approx(share, abs=0.002)
    assert TOP < found[-1, 1] < found[0, 1] < TOP + HEIGHT
    assert carried["steps"] == [[10, 20, 40]]
    assert carried["values"] == [[1.0, 10.0, 100.0]]
    assert carried["y"][0] == found[:, 1].tolist()


def test_a_skipped_step_does_not_stretch_the_axis_but_is_marked():
    steps, values = np.arange(1, 101), np.linspace(5, 3, 100)
    values[49] = 1e30
    chart = Chart("loss", "Loss", (Line("loss", steps, values),))
    assert axes(chart, 1, 100, np.array([50])).high < 6
    assert axes(chart, 1, 100, NONE).high > 1e29
    figure, _ = draw(chart, 1, 100, {"skipped": np.array([50]), "save": np.array([10, 10, 500])})
    assert points(figure)[49, 1] < 0  # outside, and clipped
    assert points(figure)[49, 1] > -2 * HEIGHT
    assert '<path class="mark skipped"' in figure
    assert re.search(r'<path class="mark save" d="([^"]*)"', figure)[1].count("M") == 1  # type: ignore[index]


def test_levels_stand_at_their_value_and_inside():
    line = Line("loss", np.array([1, 2]), np.array([3.0, 2.0]))
    chart = Chart("loss", "Loss", (line,), levels=(("unigram entropy", 6.5),))
    figure, _ = draw(chart, 1, 2, {})
    y = float(re.search(r'<path class="level" d="M\d+ ([\d.]+)h', figure)[1])  # type: ignore[index]
    assert y == pytest.approx(axes(chart, 1, 2, NONE).y(6.5), abs=0.06)
    assert y > TOP
    assert "unigram entropy 6.5" in figure


@pytest.mark.parametrize("value", [0.0, -2.0, 5.0, 1e-30, 1e30])
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("zero", [False, True])
def test_one_point_is_a_dot_whatever_its_value(value, log, zero):
    line = Line("a", np.array([7]), np.array([value]))
    figure, _ = draw(Chart("a", "A", (line,), log=log and value > 0, zero=zero), 7, 7, {})
    x, y = re.search(r'<circle class="only l0" cx="([\d.]+)" cy="([\d.]+)"', figure).groups()  # type: ignore[union-attr]
    assert float(x) == LEFT + WIDTH / 2
    assert 0 <= float(y) <= TOP + HEIGHT


def test_no_value_at_all_is_said():
    figure, carried = draw(Chart("a", "A", (Line("a", np.array([1]), np.array([np.nan])),)), 1, 1, {})
    assert "A: no values." in figure
    assert carried["steps"] == [[]]


def test_noise_is_drawn_flat():
    line = Line("ratio", np.arange(5), 1 + 1e-7 * np.array([0.0, 1, -1, 1, 0]))
    at = axes(Chart("ratio", "Ratio", (line,)), 0, 4, NONE)
    assert at.high - at.low > 0.05
    small = axes(Chart("kl", "KL", (Line("kl", np.arange(2), np.array([1e-14, 3e-14])),)), 0, 1, NONE)
    assert small.high - small.low < 3e-14
