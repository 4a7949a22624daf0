"""Letters of unspaced scripts as words, and words of a list, against plain Python."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curator import kernels
from curator.kernels import letter_units
from curator.kernels.arrow import flatten
from curator.kernels.stop_lists import MOST_WORDS, count_listed
from curator.kernels.unicode import in_ranges

PIECES = st.sampled_from([*"手机のアーวันที่ไກາမြန်កើ〇々x9é。，(-'한 \n\u3000\x00", "iPhone", "的", "中文", "𠀀"])
TEXTS = st.lists(st.lists(PIECES | st.characters(codec="utf-8"), max_size=25).map("".join), max_size=6)
UNSPACED = in_ranges(letter_units.SCRIPTS)


def units(text: str) -> list[str]:
    """The definition: a unit's letter takes what follows it, up to the next letter or digit."""
    found = []
    for word in text.split():
        unit, after_letter = "", False
        for character in word:
            own = character in UNSPACED and character.isalpha()
            if (own or (after_letter and character.isalnum())) and unit:
                found.append(unit)
                unit = ""
            after_letter = own or (after_letter and not character.isalnum())
            unit += character
        found.append(unit)
    return found


def split(offsets: np.ndarray, data: np.ndarray) -> list[list[str]]:
    return [data[a:b].tobytes().decode().split() for a, b in itertools.pairwise(offsets)]


def arrays(texts: list[str | None]) -> tuple[np.ndarray, np.ndarray]:
    return flatten(pa.array(texts, pa.large_string()))


def test_the_worked_example():
    assert split(*letter_units.apart(*arrays(["iPhone手机。Ok"]))) == [["iPhone", "手", "机。", "Ok"]]


def test_vowel_signs_and_tone_marks_stay_with_their_letter():
    assert split(*letter_units.apart(*arrays(["ที่นี่", "မြန်မာ"]))) == [["ที่", "นี่"], ["မြ", "န်", "မာ"]]


@given(texts=TEXTS)
def test_units_are_those_of_the_definition(texts):
    assert split(*letter_units.apart(*arrays(texts))) == [units(text) for text in texts]


def test_texts_without_such_letters_are_not_copied():
    offsets, data = arrays(["a b", None, "", "é\x00 한국어"])
    assert letter_units.apart(offsets, data) == (offsets, data)


def test_a_slice_of_an_array_is_read_from_its_own_start():
    sliced = pa.array(["手机", "的x", "a"], pa.large_string()).slice(1)
    assert split(*letter_units.apart(*flatten(sliced))) == [["的", "x"], ["a"]]


LISTS = (("the", "of", "é"), (), ("中", "手机", "的"), tuple(f"w{i}" for i in range(MOST_WORDS)))


@given(
    texts=st.lists(st.lists(st.sampled_from(["the", "of", "The", "é", "w0", "w63", "the,", " ", "\n"])).map("".join))
)
def test_listed_words_are_the_words_that_stand_in_a_text(texts):
    which = np.array([i % 5 - 1 for i in range(len(texts))], np.int64)
    expected = [len(set(text.split()) & set(LISTS[w])) if w >= 0 else 0 for text, w in zip(texts, which, strict=True)]
    assert count_listed(*arrays(texts), which, LISTS).tolist() == expected


def test_listed_words_may_be_searched_anywhere_in_a_text():
    texts = ["我的手机", None, "中中", "the of", "", "的the"]
    which = np.array([2, 2, 2, 0, 2, 0])
    column = pd.Series(pa.array(texts, pa.large_string()), dtype="str", index=range(5, 11))
    found = kernels.listed_words(column, which, LISTS, (False, False, True, False))
    assert found["listed_words"].tolist() == [2, 0, 1, 2, 0, 0]
    assert found.index.tolist() == list(range(5, 11))
