"""URLs and citations are cut exactly, nothing else is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.clean.patterns import RemoveCitations, RemoveUrls
from tests.curator.clean.edits import cuts, left


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("See https://a.org/b?c=d&e#f.", "See."),
        ("See (http://a.org/b_(c)), now", "See (), now"),
        ("(www.a.org) WWW.B.ORG!", "()!"),
        ("http://a.org/[x]/y] z", "] z"),
        ('<a href="http://a.org">x</a>', '<a href="">x</a>'),
        ("ftp://a.org/ä\tö", "\tö"),
        ("a\n  https://a.org\nb", "a\n\nb"),
        ("awww.a.org ://x www.", "awww.a.org ://x www."),
        ("http://a.org http://b.org", ""),
        ("http://a.org,", ","),
        ("https://", "https://"),
    ],
)
def test_urls(text, rest):
    assert left(RemoveUrls(), text) == [rest]


URLS = st.lists(
    st.sampled_from(["http://a.b", "www.c", "é", " ", "\n", "x", ".", ")", "(", "/", "\0", "ſ"]), max_size=15
)


@given(st.lists(URLS.map("".join), max_size=4))
def test_urls_end_where_white_space_or_punctuation_does(texts):
    """NeMo's pattern, by Python's re on the whole text, cuts the same but for punctuation and blanks."""
    for text, rest in zip(texts, left(RemoveUrls(), *texts), strict=True):
        whole = re.sub(r"(?<![A-Za-z0-9])(?:https?://|www\.)[^\s]*[^\s.()]\S*", "", text)
        assert re.sub(r"[\s.()]", "", rest) == re.sub(r"[\s.()]", "", whole)


CITED = st.lists(
    st.sampled_from(["[1]", "[2, 3]", "[4-5]", "[", "]", "[]", "[edit]", "[Ed]", "é", "\n", "7"]), max_size=15
)


@given(st.lists(CITED.map("".join), max_size=4))
def test_citations_against_python_re_on_the_whole_text(texts):
    pattern = re.compile(r"\[(?:edit|citation needed|(?:[0-9]+(?:(?:, ?|-|–)[0-9]+)*)?)\]", re.I)
    assert left(RemoveCitations(), *texts) == [pattern.sub("", text) for text in texts]


def test_citations_are_named_by_kind():
    text = "Paris[1] is[2, 3] old.[Citation needed] a[x] b[ 4 ]"
    assert cuts(RemoveCitations(), text) == [("[1]", "number"), ("[2, 3]", "number"), ("[Citation needed]", "phrase")]
    assert cuts(RemoveCitations(phrases=("sic",)), "x [sic] [edit]") == [("[sic]", "phrase")]


@pytest.mark.parametrize("stage", [RemoveUrls(), RemoveCitations()])
def test_missing_and_empty_text(stage):
    assert left(stage, None, "", "\0\r\n", "[]"[:1]) == [None, "", "\0\r\n", "["]


def test_one_line_of_50_mb():
    line = "and so on it goes " * 2_800_000
    assert left(RemoveUrls(), line + "https://a.org") == [line[:-1]]
    assert left(RemoveCitations(), line + "[1]") == [line]


def test_hostile_lines_cost_no_more_than_their_length():
    line = "https://a.org/" + "(" * 500_000 + ")" * 1_000_000
    assert left(RemoveUrls(), line, " " * 1_000_000 + "x www.") == [")" * 500_000, " " * 1_000_000 + "x www."]
    assert left(RemoveCitations(), "[1" * 500_000 + "[1]") == ["[1" * 500_000]
