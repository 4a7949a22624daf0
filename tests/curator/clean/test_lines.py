"""Repeated and blank lines, against plain Python."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.clean.lines import RemoveBlankLines, RemoveRepeatedLines
from curator.errors import SpecError
from tests.curator.clean.edits import edited, left

TEXTS = st.lists(st.sampled_from(["a b", "a  b", "A b", "é", " ", "\t", "\r", "\n", "\n", "\n", "\u3000", "\0"])).map(
    "".join
)


def lines_of(text: str) -> list[str]:
    return re.findall("[^\n]*\n|[^\n]+", text)


@given(st.lists(TEXTS, max_size=4), st.booleans())
def test_repeated_lines_against_plain_python(texts, words):
    stage = RemoveRepeatedLines(min_unit_characters=1, normalise="words" if words else "space")
    for text, row in zip(texts, edited(stage, *texts), strict=True):
        seen: dict[str, int] = {}
        kept, firsts, at = "", [], 0
        for line in lines_of(text):
            form = " ".join(re.findall(r"\w+", line.lower()) if words else line.split())
            if form in seen:
                firsts.append(seen[form])
            else:
                kept += line
                seen |= {form: at} if form else {}
            at += len(line.encode())
        assert (row["text"], row["repeats_cut_firsts"]) == (kept, firsts)


def test_repeated_paragraphs_go_with_their_blank_lines():
    text = "one\ntwo\n\nthree\n\none two\n\n\nfour\n"
    assert left(RemoveRepeatedLines("paragraph", min_unit_characters=3), text) == ["one\ntwo\n\nthree\n\nfour\n"]
    assert left(RemoveRepeatedLines("paragraph"), text) == [text]  # too short to count


@given(st.lists(TEXTS, max_size=4), st.integers(0, 3))
def test_blank_lines_against_plain_python(texts, most):
    for text, rest in zip(texts, left(RemoveBlankLines(most), *texts), strict=True):
        kept, run = "", 0
        for line in lines_of(text):
            run = 0 if line.strip() else run + 1
            kept += line if run <= most else ""
        assert rest == kept


def test_newlines_become_what_nemo_makes_of_them():
    """NewlineNormalizer: three or more line feeds become two, and so do three of Windows."""
    assert left(RemoveBlankLines(), "a\n\n\n\nb\n\nc\nd", "a\r\n\r\n\r\nb") == ["a\n\nb\n\nc\nd", "a\r\n\r\nb"]


@pytest.mark.parametrize("stage", [RemoveRepeatedLines(), RemoveBlankLines()])
def test_hostile_texts(stage):
    line = "0123456789" * 5_000_000
    assert left(stage, None, "", "\0", line, "\r\n") == [None, "", "\0", line, "\r\n"]


def test_limits_that_make_no_sense_are_refused():
    with pytest.raises(SpecError, match="min_unit_characters is 0"):
        RemoveRepeatedLines(min_unit_characters=0)
    with pytest.raises(SpecError, match="max_blank_lines is -1"):
        RemoveBlankLines(-1)
