"""Normal forms against str.split and re, at every place of the blocks that the kernel works in."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels import normal
from tests.curator.kernels.specification import buffers, words_of

ALPHABET = (
    "aA zß é,.-_1\t\n\r\x0b\x1c\x1f\x00\x7f\x85\xa0\u1680\u2000\u2009\u2014\u2019\u2028\u202f\u3000中あ한Ⱥİ😀\U000e0041"
)
texts = st.text(st.sampled_from(ALPHABET), max_size=200) | st.text(st.characters(exclude_categories=["Cs"]))


def forms(documents: list[str], words: bool) -> list[str]:
    starts, flat = normal.normal_forms(*buffers(documents), words)
    return [flat[a:b].tobytes().decode() for a, b in itertools.pairwise(starts.tolist())]


def space(text: str) -> str:
    return " ".join(text.split())


def words(text: str) -> str:
    return " ".join(words_of(text)) or text


@given(st.lists(texts, max_size=6))
def test_against_python(documents):
    assert forms(documents, words=False) == [space(text) for text in documents]
    assert forms(documents, words=True) == [words(text) for text in documents]


@pytest.mark.parametrize("odd", ["", " ", "  ", "\t\n", "\xa0", " \u2003 ", "é", "—", "中 ", "\x00", "\u3000\u3000"])
def test_oddities_at_every_place_of_a_block(odd):
    documents = ["x" * before + odd + "y" * after for before in range(0, 132, 3) for after in (0, 1, 63, 64, 65, 200)]
    assert forms(documents, words=False) == [space(text) for text in documents]
    assert forms(documents, words=True) == [words(text) for text in documents]


def test_every_code_point_between_letters():
    documents = [f"a{chr(code)}b" for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    assert forms(documents, words=False) == [space(text) for text in documents]


def test_a_text_without_words_is_its_own_words_form():
    assert forms(["", " ", "!?", "😀 😀", "A-b"], words=True) == ["", " ", "!?", "😀 😀", "a b"]


def test_lower_case_may_be_longer_than_the_text():
    assert forms(["Ⱥ" * 1000, "Ⱥ" * 5], words=True) == ["ⱥ" * 1000, "ⱥ" * 5]


def test_normal_forms_are_normal():
    documents = [f"{c} a\t{c}B" for c in ALPHABET]
    for form in (False, True):
        once = forms(documents, form)
        assert forms(once, form) == once


def test_no_texts():
    starts, flat = normal.normal_forms(np.zeros(1, np.int64), np.zeros(0, np.uint8), True)
    assert (starts.tolist(), flat.size) == ([0], 0)
