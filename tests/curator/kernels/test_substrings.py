"""Repeated substrings, against a suffix array and against every window in a dictionary."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels import winnow
from curator.kernels.substrings import later, match_runs, repeated, whole_code_points
from tests.corpus import documents


def flat(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    return np.cumsum([0, *map(len, texts)]), np.frombuffer(b"".join(texts), np.uint8)


def marked(texts: list[bytes], documents, starts, stops) -> list[bytearray]:
    """A byte a byte: 1 where a span lies."""
    masks = [bytearray(len(text)) for text in texts]
    for document, start, stop in zip(documents, starts, stops):
        assert 0 <= start < stop <= len(texts[document])
        masks[document][start:stop] = b"\1" * int(stop - start)
    return masks


def by_suffix_array(texts: list[bytes], length: int) -> list[bytearray]:
    """Sort all suffixes; neighbours that agree in `length` bytes and more are repeated that far."""
    suffixes = sorted((text[i:], number, i) for number, text in enumerate(texts) for i in range(len(text)))
    masks = [bytearray(len(text)) for text in texts]
    for (a, *here), (b, *there) in itertools.pairwise(suffixes):
        common = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b)))
        if common >= length:
            for number, i in (here, there):
                masks[number][i : i + common] = b"\1" * common
    return masks


def by_windows(texts: list[bytes], length: int) -> list[bytearray]:
    """Mark every window that stands before, but for what the first one holds of it in the same text."""
    masks = [bytearray(len(text)) for text in texts]
    first: dict[bytes, tuple[int, int]] = {}
    for number, text in enumerate(texts):
        for i in range(len(text) - length + 1):
            document, place = first.setdefault(text[i : i + length], (number, i))
            start = max(i, place + length) if document == number else i
            if (document, place) != (number, i):
                masks[number][start : i + length] = b"\1" * (i + length - start)
    return masks


def check(texts: list[bytes], length: int) -> None:
    assert marked(texts, *repeated(*flat(texts), length)) == by_suffix_array(texts, length)
    assert marked(texts, *later(*flat(texts), length)[:3]) == by_windows(texts, length)


@given(st.lists(st.text("ab", max_size=60).map(str.encode), max_size=5), st.integers(1, 20))
def test_against_oracles_on_two_letters(texts, length):
    check(texts, length)


@given(st.data())
def test_against_oracles_on_pieces_put_together(data):
    pieces = data.draw(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=4))
    texts = data.draw(st.lists(st.lists(st.sampled_from(pieces), max_size=6).map(b"".join), max_size=6))
    check(texts, data.draw(st.sampled_from([3, 8, 13, 24])))


@given(st.lists(st.text("abc", max_size=40).map(str.encode), max_size=4), st.integers(1, 12))
def test_words_as_units_give_what_bytes_give(texts, length):
    """Units of 64 bits, for words; here each stands for a letter. Of several witnesses hashes may name another."""
    offsets, data = flat(texts)
    numbers = np.random.default_rng(3).integers(0, 1 << 63, 256).astype(np.uint64) * np.uint64(2)
    for function in (repeated, later):
        here, there = function(offsets, data, length), function(offsets, numbers[data], length)
        assert all(np.array_equal(a, b) for a, b in zip(here[:3], there[:3]))


def test_against_oracles_on_prose():
    texts = [record["text"][:600].encode() for record in documents(60, seed=4)]
    for length in (30, 100):
        check(texts, length)
    assert len(repeated(*flat(texts), 100)[0]) > 5


def test_witness_and_copies():
    piece = random.Random(1).randbytes(50)
    texts = [b"x" * 3 + piece, b"", piece + b"y" * 9, b"z" * 5 + piece[:45]]
    spans = later(*flat(texts), 40)
    assert [tuple(map(int, row)) for row in zip(*spans)] == [(2, 0, 50, 0, 3), (3, 5, 50, 0, 3)]


def test_of_one_byte_a_million_times_one_window_stays():
    """Squared it would not end before the time limit of a test."""
    texts = [b"a" * 1_000_000]
    assert [int(x[0]) for x in later(*flat(texts), 200)[:3]] == [0, 200, 1_000_000]
    assert [int(x[0]) for x in repeated(*flat(texts), 200)] == [0, 0, 1_000_000]


@pytest.mark.parametrize("period", [2, 7, 66, 199, 201, 5000])
def test_of_a_period_that_repeats_little_stays(period):
    text = random.Random(period).randbytes(period) * (400_000 // period)
    _, starts, stops = later(*flat([text]), 200)[:3]
    assert (starts.tolist(), stops.tolist()) == ([max(period, 200)], [len(text)])


def test_two_documents_of_ten_megabytes():
    text = np.random.default_rng(2).integers(97, 123, 10_000_000).astype(np.uint8).tobytes()
    spans = later(*flat([text, text]), 200)
    assert [tuple(map(int, row)) for row in zip(*spans)] == [(1, 0, len(text), 0, 2)]


def test_a_million_equal_documents():
    text = random.Random(3).randbytes(210)
    offsets = np.arange(1_000_001) * len(text)
    spans = later(offsets, np.frombuffer(text * 1_000_000, np.uint8), 200)
    assert len(spans.documents) == 999_999
    assert set(spans.witnesses.tolist()) == {0}
    assert set(spans.copies.tolist()) == {1_000_000}


def test_a_phrase_in_a_twenty_thousand_places_is_not_squared():
    """A gram and more is shared by all, a window by none."""
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 256, (20_000, 400)).astype(np.uint8)
    rows[:, 120:290] = np.frombuffer(rng.bytes(170), np.uint8)
    offsets = np.arange(len(rows) + 1) * rows.shape[1]
    assert match_runs(*winnow.winnow(offsets, rows.ravel(), 200)[3:]).opened.any()
    assert len(repeated(offsets, rows.ravel(), 200)[0]) == 0


@pytest.mark.parametrize("texts", [[], [b""], [b"", b""], [b"a" * 199, b"a" * 199], [b"", b"b" * 200, b""]])
def test_nothing_repeats_in_little(texts):
    for function in (repeated, later):
        assert all(len(column) == 0 for column in function(*flat(texts), 200))


def test_runs_hold_every_window_once():
    texts = [random.Random(i).randbytes(n) for i, n in enumerate([0, 199, 200, 201, 5000])] + [b"ab" * 700]
    runs = winnow.winnow(*flat(texts), 200)
    windows = [(int(d), int(s) + i) for d, s, n in zip(*runs[:3]) for i in range(int(n))]
    assert windows == [(d, i) for d, text in enumerate(texts) for i in range(len(text) - 199)]
    assert runs.windows.max() <= 200 - 100 + 1


def test_hash_windows_against_python():
    data = np.frombuffer(random.Random(8).randbytes(100), np.uint8)
    base, prime = int(winnow.WINDOW_BASE), int(winnow.PRIME)
    wanted = [sum(int(data[i + k]) * pow(base, 9 - k, prime) for k in range(10)) % prime for i in (3, 4, 5, 60, 61)]
    got = winnow.hash_windows(data, np.array([3, 60]), np.array([3, 2]), 10)
    assert got.tolist() == wanted


def test_spans_shrink_to_whole_code_points():
    text = "aé\u20ac\U0001f600b".encode()  # 1, 2, 3, 4 and 1 bytes, from 0, 1, 3, 6 and 10
    offsets, data = np.array([0, len(text), 2 * len(text)]), np.frombuffer(text * 2, np.uint8)
    spans = np.array([(1, 2, 11), (0, 0, 11), (1, 1, 9), (0, 7, 10), (0, 4, 6), (1, 3, 6)]).T
    starts, stops = whole_code_points(offsets, data, *spans)
    assert list(zip(starts.tolist(), stops.tolist())) == [(3, 11), (0, 11), (1, 6), (10, 10), (6, 6), (3, 6)]
