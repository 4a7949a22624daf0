import re

import pytest

from curator.kernels import unicode

EVERY = [chr(c) for c in range(unicode.LIMIT)]
WHAT_PYTHON_SAYS = {
    unicode.SPACE: str.isspace,
    unicode.ALPHA: str.isalpha,
    unicode.WORD: lambda c: re.match(r"\w", c) is not None,
    unicode.LINE_BREAK: lambda c: len(f"a{c}a".splitlines()) == 2,
    unicode.PUNCTUATION: lambda c: c in unicode.PUNCTUATION_CHARACTERS,
}


@pytest.mark.parametrize("flag", WHAT_PYTHON_SAYS)
def test_a_class_is_what_python_says(flag):
    says = WHAT_PYTHON_SAYS[flag]
    assert [bool(kind & flag) for kind in unicode.classes()] == [bool(says(c)) for c in EVERY]


def test_beyond_the_limit_no_character_has_a_class_or_a_lower_case():
    beyond = "".join(map(chr, range(unicode.LIMIT, 0x110000)))
    assert not re.search(r"[\w\s]", beyond)
    assert beyond.lower() == beyond
    assert max(map(ord, unicode.PUNCTUATION_CHARACTERS)) < unicode.LIMIT


def test_lower_case_is_that_of_python_where_it_is_one_character():
    small = [c.lower() for c in EVERY]
    assert unicode.lower_case().tolist() == [ord(s if len(s) == 1 else c) for s, c in zip(small, EVERY)]


def test_ranges_include_both_ends():
    assert unicode.in_ranges("21 30-32") == set("!012")


def test_punctuation_is_as_numerous_as_in_datatrove():
    assert len(unicode.TERMINAL_PUNCTUATION) == 159
    assert len(unicode.PUNCTUATION_CHARACTERS) == 281
    assert not {"\t", "\n"} & unicode.PUNCTUATION_CHARACTERS


@pytest.mark.peer
def test_punctuation_is_that_of_datatrove():
    peer = pytest.importorskip("datatrove.utils.text")
    assert peer.PUNCTUATION_SET == unicode.PUNCTUATION_CHARACTERS
    assert peer.TERMINAL_PUNCTUATION == unicode.TERMINAL_PUNCTUATION
