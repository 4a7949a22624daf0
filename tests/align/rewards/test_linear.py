"""Searching in linear time says what `re` says, and never hangs."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align.errors import AlignSettingsError
from align.rewards.linear import LinearPattern

atoms = st.sampled_from(
    ["a", "b", "c", ".", "[ab]", "[^a]", r"\w", r"\s", r"\d", "^", "$", r"\b", r"\B", r"\A", r"\Z", r"\W", "[a-c1]"]
)
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{1,3}", "{0,2}?", "{2,}"])).map(
            lambda p: f"(?:{p[0]}){p[1]}"
        ),
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda p: f"({'|'.join(p)})"),
    ),
    max_leaves=8,
)


@given(patterns, st.lists(st.text(alphabet="abc1 \nABé_", max_size=12), max_size=6), st.booleans())
def test_against_re(pattern, texts, fold):
    pattern = f"(?i){pattern}" if fold else pattern
    ours = LinearPattern(pattern)
    for text in ["" if "B" not in pattern else " ", *texts]:  # Python before 3.14 finds no \B in an empty text
        if "B" in pattern and not text:
            continue
        assert ours.search(text) == bool(re.compile(pattern, re.DOTALL).search(text)), text


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|a)*b", r"(a*)*(a*)*c", r"^(\w+\s?)*$", r"a*a*a*a*a*a*a*b",
    r"(.*)*x(.*)*y",
                                     r"(a?){50}a{50}b", r"(x+x+)+y"])  # fmt: skip
def test_patterns_on_which_backtracking_never_ends(pattern):
    ours = LinearPattern(pattern)
    began = time.process_time()
    for text in ("a" * 20_000 + "!", "x" * 20_000, "word " * 4000 + "!"):
        ours.search(text)
    assert time.process_time() - began < 2  # seconds; measured: 0.1


def test_time_grows_no_faster_than_the_text():
    ours = LinearPattern(r"^<think>.*?</think>\s*<answer>.*?</answer>$")
    text = "<think>" + "so it goes. " * 20_000 + "</think>\n<answer>4</answer>"
    began = time.process_time()
    assert ours.search(text)
    assert not ours.search(text + "!")
    assert time.process_time() - began < 2  # seconds for half a million characters; measured: 0.2


@pytest.mark.parametrize(
    ("pattern", "said"),
    [(r"(a)\1", "groupref"), ("a(?=b)", "assert"), ("(?<!a)b", "assert not"), ("(?>a+)b", "atomic group"),
    ("a++", "possessive repeat"),
     ("(a", "is no regular expression"), ("a{100000}", "is too large"), ("((a{100}){100}){100}", "is too large"),
     ("(?m)^a$", r"sets \(\?m\)"), ("a(?i:b)", "changes its flags"), ("(" * 5000, "is no regular expression")],
)  # fmt: skip
def test_patterns_that_are_refused(pattern, said):
    with pytest.raises(AlignSettingsError, match=said):
        LinearPattern(pattern)
