"""What length costs."""

from __future__ import annotations

import pytest

from align.errors import AlignSettingsError
from align.rewards.length import Length
from tests.align.rewards.made import completion


def test_a_straight_line_from_soft_to_hard():
    given = [completion(tokens=tokens) for tokens in (0, 10, 11, 15, 20, 1000)]
    assert Length(soft=10, hard=20)(given) == pytest.approx([0, 0, -0.1, -0.5, -1, -1])


def test_the_distance_from_a_target():
    given = [completion(tokens=tokens) for tokens in (0, 5, 10, 15, 20, 1000)]
    assert Length(target=10)(given) == pytest.approx([-1, -0.5, 0, -0.5, -1, -1])


def test_units():
    given = [completion("two words", tokens=3)]
    counts = [round((1 + Length(target=100, unit=unit)(given)[0]) * 100) for unit in ("tokens", "words", "characters")]
    assert counts == [3, 2, 9]


@pytest.mark.parametrize(
    "settings", [{}, {"soft": 1}, {"hard": 1}, {"soft": 1, "hard": 2, "target": 3}, {"soft": 1, "target": 2}]
)
def test_one_way_is_needed(settings):
    with pytest.raises(AlignSettingsError, match="needs either target, or soft and hard"):
        Length(**settings)


def test_limits_must_be_in_order():
    with pytest.raises(AlignSettingsError, match=r"length\.soft 20 must be from 0 up to length\.hard 10"):
        Length(soft=20, hard=10)
    with pytest.raises(AlignSettingsError, match=r"length\.target is 0"):
        Length(target=0)
