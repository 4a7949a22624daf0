"""RefinedWeb's line-wise corrections against plain Python, and by example."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.clean.refinedweb import RefinedWebLines
from tests.curator.clean.edits import batch, cuts, edited, left

COUNTER = re.compile(r"^\W*([0-9][0-9.,]*[km]? (likes?|views?)\W*)+$", re.I)


def kind(line: str) -> str:
    """What the paper says of a line, in plain Python."""
    text = line.strip()
    if text and sum(map(str.isupper, text)) / len(text) > 0.5:
        return "upper"
    if text and "".join(text.split()).isdigit():
        return "numeric"
    if COUNTER.match(text):
        return "counter"
    return "one_word" if len(text.split()) == 1 else ""


WORDS = ["HELLO", "Word", "the", "É", "ß", "ǅ", "12", "٣", "²", "3 likes", "1.2K views", "·", "!", "\u3000", " ", "\t"]


@given(st.lists(st.lists(st.sampled_from([*WORDS, " ", "\n", "\n", "\r\n", "\0"]), max_size=25), max_size=4))
def test_against_plain_python(drawn):
    texts = ["".join(parts) for parts in drawn]
    stage = RefinedWebLines(counters=("like", "view"))
    for text, row in zip(texts, edited(stage, *texts), strict=True):
        lines = re.findall("[^\n]*\n|[^\n]+", text)
        wanted = [kind(line) for line in lines]
        assert row["text"] == "".join(line for line, why in zip(lines, wanted) if not why)
        assert row["refinedweb_cut_kinds"] == [why for why in wanted if why]
        words = [len(line.split()) for line, why in zip(lines, wanted) if why]
        assert row["refinedweb_cut_words"] == words
        assert row["refinedweb_words_cut_share"] == sum(words) / max(len(text.split()), 1)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("BREAKING NEWS TODAY\n", "upper"),
        ("The USA and the UK\n", None),  # 5 of 18 characters
        ("2021 04 31\n", "numeric"),
        ("3 likes\n", "counter"),
        ("1,204 Comments · 12 shares\n", "counter"),
        ("1.2K views", "counter"),
        ("Likes: 3\n", "counter"),
        ("Comments (12)\n", "counter"),
        ("3 replies\r\n", "counter"),
        ("2. Comments\n", None),  # a heading
        ("He has 3 likes\n", None),
        ("Share\n", "one_word"),
        ("\n", None),
        (" \t\n", None),
    ],
)
def test_lines_that_go(line, why):
    prose = "A line of prose that stays.\n"
    assert cuts(RefinedWebLines(), prose + line + prose if line.endswith("\n") else prose + line) == (
        [(line, why)] if why else []
    )


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("Sign-in to your account", "to your account"),
        ("signin to your account", "to your account"),
        ("  Log in or be gone", "  or be gone"),
        ("A story of old. Read more...", "A story of old."),
        ("A story of old. Read More »\r\n", "A story of old.\r\n"),
        ("Read more of this story", "Read more of this story"),  # not at its end
        ("There are 5 items in cart now", "There are 5 now"),
        ("Sign in. Read more", "."),
        ("Read more...\n", ""),  # nothing is left: the line goes
        ("Signing in takes a while", "Signing in takes a while"),
        ("One two three four five six seven eight nine read more", None),  # 11 words
    ],
)
def test_navigation_is_cut_out_of_short_lines(line, rest):
    expected = line if rest is None else rest
    if expected == ".":
        expected = ""  # no letter or digit is left either
    assert left(RefinedWebLines(), line) == [expected]
    assert {why for _, why in cuts(RefinedWebLines(), line)} <= {"navigation"}


def test_a_text_that_loses_more_than_its_share_of_words_is_dropped():
    twenty = "word " * 18 + "\n"
    stage = RefinedWebLines()
    frame = batch([twenty + "a\nb\n", "word " * 19 + "\na\n", "", None])
    measured = stage.measure(frame)
    assert measured["refinedweb_words_cut_share"].tolist() == [0.1, 0.05, 0.0, 0.0]
    assert stage.reject(measured)["many_words_cut"].tolist() == [True, False, False, False]
    assert "many_words_cut" not in RefinedWebLines(max_words_cut=None).reject(measured)


def test_every_rule_can_be_switched_off():
    text = "ALL CAPITALS\n12 34\n3 likes\nWord\nSign in now\nSome text. Read more\n2 items in cart now\n"
    off = RefinedWebLines(
        max_upper=None, numeric=False, counters=(), min_line_words=None, begins=(), ends=(), anywhere=()
    )
    assert left(off, text) == [text]
    assert [why for _, why in cuts(RefinedWebLines(), text)] == [
        "upper", "numeric", "counter", "one_word", "navigation", "navigation", "navigation",
    ]  # fmt: skip


def test_one_line_of_50_mb():
    lines = ["and so on it goes " * 2_800_000, " " * 50_000_000 + "Read more"]
    assert left(RefinedWebLines(), *lines) == lines
