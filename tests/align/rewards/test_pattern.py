"""Preferred tokens and text."""

from __future__ import annotations

import pytest

from align.errors import AlignSettingsError
from align.rewards.pattern import Pattern
from tests.align.rewards.made import completion


def test_the_share_of_preferred_tokens():
    assert Pattern(tokens=(100, 103, 7))([completion(tokens=n) for n in (0, 1, 2, 4, 5)]) == [0, 1, 0.5, 0.5, 0.4]


def test_text_that_occurs():
    assert Pattern(text="yes")([completion("oh yes"), completion("no")]) == [1, 0]


@pytest.mark.parametrize("settings", [{}, {"tokens": (1,), "text": "a"}])
def test_one_of_both_is_needed(settings):
    with pytest.raises(AlignSettingsError, match="needs either tokens or text"):
        Pattern(**settings)
