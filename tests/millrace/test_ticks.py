"""Round values along an axis."""

from __future__ import annotations

import pytest

from millrace.ticks import ticks


@pytest.mark.parametrize(
    ("low", "high", "log", "expected"),
    [
        (0.0, 1.0, False, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 0.0117, False, [0.0, 0.005, 0.01]),
        (0.9, 4.1, True, [10.0, 100.0, 1000.0, 10000.0]),
        (2.1, 2.9, True, [200.0, 500.0]),
    ],
)
def test_ticks_are_round(low, high, log, expected):
    assert ticks(low, high, log) == pytest.approx(expected)


def test_ticks_of_tiny_values_are_not_all_zero():
    assert ticks(1e-14, 3e-14, False) == pytest.approx([1e-14, 1.5e-14, 2e-14, 2.5e-14, 3e-14], rel=1e-9, abs=0)
