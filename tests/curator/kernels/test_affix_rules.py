"""Rules read from regular expressions against the expressions themselves."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import ModelError
from curator.kernels.affix_rules import needs, read_rules
from curator.kernels.affixes import first_end, suffix_start

PREFIXES = re.compile(r"^ab|^a|^\+(?![0-9])|^b(?=[ac])|^\.\.+|^[x-z]")
SUFFIXES = re.compile(r"a$|(?<=[0-9])(?:b|ba|ac)$|(?<=[bc][bc])\.$|\.\.+$|[x-z]$")
INFIXES = re.compile(r"\.\.+|(?<=[ab])(?:-|--|x)(?=[a-c])|(?<=[0-9])[+\-](?=[0-9-])")


@given(text=st.text(st.sampled_from("abcxy.+-01"), min_size=1, max_size=12), data=st.data())
def test_rules_find_what_the_expressions_find(text, data):
    classes, (prefixes, suffixes, infixes), dot = read_rules([PREFIXES, SUFFIXES, INFIXES], ".")
    codes = np.array([*map(ord, text)])
    kinds = classes[codes]
    assert [*np.flatnonzero(kinds == dot)] == [i for i, c in enumerate(text) if c == "."]
    low = data.draw(st.integers(0, len(text) - 1))
    inside = text[low:]
    found = PREFIXES.search(inside)
    assert first_end(prefixes, kinds, low, low, len(text)) == (low + found.end() if found else -1)
    found = SUFFIXES.search(inside)
    assert suffix_start(suffixes, kinds, low, len(text)) == (low + found.start() if found else len(text))
    starts, stops, i = [], [], low
    while i < len(text):
        stop = first_end(infixes, kinds, i, low, len(text))
        if stop >= 0:
            starts, stops = [*starts, i - low], [*stops, stop - low]
        i = max(stop, i + 1)
    assert [*zip(starts, stops, strict=True)] == [match.span() for match in INFIXES.finditer(inside)]


@pytest.mark.parametrize(
    "pattern",
    [r"^\w", r"^[^a]", r"^a{2,3}", r"^a*b", r"^(?!ab)c", r"^(?!a|b)c", r"^a+b", r"^ab+", r"a", r"^(?<=a)b", r"^(?i:a)"],
)
def test_what_rules_cannot_hold_is_an_error(pattern):
    with pytest.raises(ModelError, match=r"no table here can hold; install spacy 3\.8"):
        read_rules([re.compile(pattern), SUFFIXES, INFIXES], ".")
    with pytest.raises(ModelError, match="flags"):
        read_rules([re.compile("^a", re.IGNORECASE), SUFFIXES, INFIXES], ".")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("a.b", False), (r"a\.b", True), (r"a(?:b\.|\.c)+", True), (r"a(?:b\.|c)", False), (r"(?:\.)*a", False),
     (r"a(?=\.)", False), (r"[.]a", True)],
)  # fmt: skip
def test_what_a_match_must_hold(pattern, expected):
    assert needs(re.compile(pattern), ".") == expected
