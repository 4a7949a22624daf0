"""Lines and paragraphs against plain Python."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels import lines
from tests.curator.kernels.specification import buffers, mix64, word_hash, words_of

ALPHABET = "aB,é中あ\xa0\u2028\r\n\n\n \t"
texts = st.text(st.sampled_from(ALPHABET), max_size=120)


def paragraphs_of(text: str) -> list[str]:
    """Cut a text into paragraphs: text after a blank line begins one. Blank lines at the start are a piece."""
    found, after_blank = [], True
    for piece in re.findall(r"[^\n]*\n|[^\n]+$", text):
        blank = not piece.strip()
        if (after_blank and not blank) or not found:
            found.append(piece)
        else:
            found[-1] += piece
        after_blank = blank
    return found


def oracle(text: str, paragraphs: bool, words: bool, least: int) -> list[tuple[int, int, int]]:
    found, at = [], 0
    for piece in paragraphs_of(text) if paragraphs else re.findall(r"[^\n]*\n|[^\n]+$", text):
        form = " ".join(words_of(piece) if words else piece.split())
        stop = at + len(piece.encode())
        if len(form.replace(" ", "")) >= least:
            found.append((mix64(word_hash(form)), at, stop))
        at = stop
    return found


def measured(documents: list[str], *settings) -> list[list[tuple[int, int, int]]]:
    first, hashes, starts, stops = lines.units(*buffers(documents), *settings)
    rows = list(zip(hashes.tolist(), starts.tolist(), stops.tolist()))
    return [rows[a:b] for a, b in itertools.pairwise(first.tolist())]


@given(st.lists(texts, max_size=5), st.booleans(), st.booleans(), st.integers(1, 4))
def test_against_python(documents, paragraphs, words, least):
    assert measured(documents, paragraphs, words, least) == [oracle(d, paragraphs, words, least) for d in documents]


@pytest.mark.parametrize("paragraphs", [False, True])
@pytest.mark.parametrize("words", [False, True])
def test_lines_longer_than_a_block(paragraphs, words):
    documents = ["\n\n".join(f"Line {'é' * (n % 3)} " * n for n in range(size)) for size in (3, 30)]
    assert measured(documents, paragraphs, words, 1) == [oracle(d, paragraphs, words, 1) for d in documents]


def test_where_lines_and_paragraphs_begin_and_end():
    text = "\n \na\r\nb\n\n\n\tc"
    assert [(a, b) for _, a, b in measured([text], False, False, 1)[0]] == [(3, 6), (6, 8), (10, 12)]
    assert [(a, b) for _, a, b in measured([text], True, False, 1)[0]] == [(3, 10), (10, 12)]


def test_what_is_one_line_to_each_form():
    def hashes(text, words):
        return [h for h, _, _ in measured([text], False, words, 1)[0]]

    one, two, three = hashes("a  b\r\na b\nA, b", False)
    assert one == two != three
    assert len(set(hashes("a  b\r\na b\nA, b!", True))) == 1


def test_short_lines_are_counted_without_spaces():
    assert [len(m) for m in measured(["a b c\n", "abcd\n", "中文字\n"], False, False, 4)] == [0, 1, 0]


def test_lines_that_end_out_of_reach_are_left_out():
    first, _, _, stops = lines.units(*buffers(["aaa\nbbb\nccc", "dd"]), False, False, 1, 9)
    assert (first.tolist(), stops.tolist()) == ([0, 2, 3], [4, 8, 2])


@given(st.lists(st.lists(st.integers(0, 5), max_size=20), max_size=6))
def test_first_of_equal_lines(documents):
    bounds = np.cumsum([0, *map(len, documents)])
    flat = np.array(list(itertools.chain(*documents)), np.uint64)
    wanted = [start + own.index(h) for start, own in zip(bounds.tolist(), documents) for h in own]
    assert lines.firsts(bounds, flat).tolist() == wanted


def test_a_line_repeated_a_million_times():
    first, hashes, _, stops = lines.units(*buffers(["again and again\n" * 1_000_000]), False, False, 1)
    assert (first.tolist(), stops[-1]) == ([0, 1_000_000], 16_000_000)
    assert not lines.firsts(first, hashes).any()
