"""Patterns against a text, in bounded time."""

from __future__ import annotations

import time

import pytest

from serve.errors import ServeSettingsError
from serve.rails.regex import MOST_STATES, Regex


def test_matches_are_counted_and_replaced_by_each_pattern_in_turn():
    verdict = Regex((r"(?i)key-\d+", r"[a-z]+@x\.org"), "<\\0>").check("KEY-12, key-3: bob@x.org", "input", ())
    assert (verdict.allowed, verdict.found) == (False, 3)
    assert verdict.text == "<\\0>, <\\0>: <\\0>"
    assert verdict.reason == "3 matches of patterns 0, 1"
    assert Regex(("x",)).check("", "input", ()).allowed


def test_letters_of_any_script():
    assert Regex((r"(?i)привет",)).check("ПРИВЕТ", "input", ()).found == 1
    assert Regex((r"^\p{Lu}\pL+$",)).check("Ärger", "input", ()).found == 1


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(a", "is no regular expression of RE2"), (r"(a)\1", "is no regular expression of RE2"),
        ("a(?=b)", "is no regular expression of RE2"), ("a*", "matches the empty text"), ("", "matches the empty text"),
        (r"\bпривет\b", r"\\b knows ASCII letters alone"), ("(.*a){400}", f"at most {MOST_STATES}"),
        ("((a{10}){10}){10}", "states"), (r"\Qa\E", "size is not known"),
    ],
)  # fmt: skip
def test_patterns_that_are_refused(pattern, said):
    with pytest.raises(ServeSettingsError, match=said):
        Regex(("fine", pattern))
    with pytest.raises(ServeSettingsError, match=r"regex\.patterns\[1\]"):
        Regex(("fine", pattern))


def test_no_pattern():
    with pytest.raises(ServeSettingsError, match="empty"):
        Regex(())


@pytest.mark.parametrize("pattern", ["(a+)+$b", "(a|a)*b", "(x+x+)+y", "(.*a){100}", "(a|b|x)*a(a|b|x){55}q"])
def test_patterns_on_which_backtracking_never_ends(pattern):
    rail = Regex((pattern,))
    began = time.process_time()
    for text in ("a" * 50_000 + "!", "x" * 50_000, "abx" * 10_000):
        rail.check(text, "input", ())
    assert time.process_time() - began < 4  # seconds; measured: at most 0.3
