"""Shingle sets equal those of plain Python, for any text and however a batch is cut."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.kernels import shingles, words
from curator.kernels.unicode import LIMIT
from tests.curator.kernels.specification import (
    buffers,
    jaccard,
    mix64,
    shingle_hash,
    shingles_of,
    word_hash,
    words_of,
)

HARD = [
    *("a", "b", "Z", "_", "9", " ", "\n", "-", "\x00", "É", "ß", "ẞ", "İ", "ı", "Σ", "σ", "ς", "Ⱥ", "K"),
    *("ö", "o\u0308", "\u0301", "\u200d", "\u00a0", "²", "Ⅷ", "中", "文", "𝒜", "𐐀", "𞤀", "😀"),
    *("\U000e0041", "\U000f0000", "\U0010ffff", " the ", " international ", "a" * 63, "b" * 64),
]
texts = st.one_of(st.text(), st.lists(st.sampled_from(HARD)).map("".join))


def sets_of(documents, width=5):
    starts, flat = shingles.sets(*buffers(documents), width)
    assert starts.dtype == np.int64
    assert flat.dtype == np.uint64
    return [flat[a:b].tolist() for a, b in itertools.pairwise(starts)]


@given(st.lists(texts, max_size=4), st.integers(1, 16))
@example(["İ ß Σς ΣΑΣ", "Ⱥ" * 100, ""], 2)
def test_sets_are_the_sorted_hashes_of_the_specification(documents, width):
    expected = [sorted({shingle_hash(s) for s in shingles_of(text, width)}) for text in documents]
    assert sets_of(documents, width) == expected


@given(texts, texts, st.integers(1, 6))
def test_similarity_of_hashes_is_that_of_the_shingles(a, b, width):
    theirs = shingles_of(a, width), shingles_of(b, width)
    ours = [set(hashes) for hashes in sets_of([a, b], width)]
    assert (ours[0] == ours[1]) == (theirs[0] == theirs[1])
    if theirs[0] | theirs[1]:
        assert jaccard(*ours) == jaccard(*theirs)


def test_every_code_point_is_folded_as_python_does():
    points = [chr(c) for c in [*range(0xD800), *range(0xE000, LIMIT + 1000), 0x10FFFF]]
    text = " ".join(f"x{c}y" for c in points)
    assert sets_of([text], 1) == [sorted({mix64(word_hash(word)) for word in words_of(text)})]


def test_golden_hashes_are_frozen():
    assert word_hash("hello") == 0x532840B1CAE56187
    assert word_hash("international") == 0xAFAAED65838D14ED
    assert sets_of(["one two three"]) == [[0xC00B98F8F56C3B9B]]
    assert sets_of(["the quick brown fox jumps over the lazy dog"])[0] == [
        0x06854A9AFB408E65,
        0xB463B47B6C9A443F,
        0xDE20A320E996EE29,
        0xE5EEA7340DDB6A27,
        0xF0C19956D6F10D4A,
    ]
    assert sets_of(["Straße, İSTANBUL; international_2024"], 2)[0] == [
        0x84B4DA5CAB775530,
        0x8E24913222ACBBF3,
    ]


def test_documents_shorter_than_a_shingle_are_one_shingle():
    assert [len(hashes) for hashes in sets_of(["", " .", "a", "a b c d", "a b c d e", "a b c d e f"])] == [
        *(0, 0, 1, 1, 1, 2)
    ]


def test_order_of_words_matters_and_case_and_punctuation_do_not():
    first, second, third = sets_of(["a b c d e", "A, b: (C) d\ne!", "b a c d e"])
    assert first == second
    assert first != third


def test_no_documents_give_no_sets():
    starts, flat = shingles.sets(*buffers([]), 5)
    assert starts.tolist() == [0]
    assert flat.size == 0


@given(st.lists(texts, min_size=1, max_size=6), st.data())
@settings(max_examples=50)
def test_cutting_a_batch_changes_nothing(documents, data):
    cut = data.draw(st.integers(0, len(documents)))
    offsets, flat = buffers(documents)
    whole = sets_of(documents)
    assert sets_of(documents[:cut]) + sets_of(documents[cut:]) == whole
    starts, hashes = shingles.sets(offsets[cut:], flat, 5)  # offsets that do not start at 0
    assert [hashes[a:b].tolist() for a, b in itertools.pairwise(starts)] == whole[cut:]


@given(st.lists(texts, min_size=1, max_size=6), st.data())
@settings(max_examples=50)
def test_sets_of_some_rows_are_those_among_all(documents, data):
    rows = np.array(data.draw(st.lists(st.integers(0, len(documents) - 1))), np.int64)
    offsets, flat = buffers(documents)
    starts, hashes = shingles.sets_of(offsets[rows], offsets[rows + 1], flat, 5)
    whole = sets_of(documents)
    assert [hashes[a:b].tolist() for a, b in itertools.pairwise(starts)] == [whole[row] for row in rows]


def test_lower_case_may_be_longer_than_the_text():
    text = "Ⱥ" * 100_000  # 2 bytes, whose lower case has 3
    assert sets_of([text]) == [[mix64(word_hash("ⱥ" * 100_000))]]


def test_result_grows_past_its_first_guess():
    documents = [" ".join(chr(ord("a") + (i * i + d) % 26) for i in range(5000)) for d in range(20)]
    assert sets_of(documents) == [sorted({shingle_hash(s) for s in shingles_of(d, 5)}) for d in documents]


def test_sorting_keeps_the_largest_and_clustered_hashes():
    hashes = np.array([2**64 - 1, 5, 2**64 - 1, 0, 5, 2**64 - 2, 3, 2**64 - 3, 4], np.uint64)
    table, out = np.empty(3 * hashes.size, np.uint64), np.empty(hashes.size, np.uint64)
    count = shingles.sort_distinct(hashes, table, out)
    assert out[:count].tolist() == sorted(set(hashes.tolist()))


@pytest.mark.parametrize("shape", ["a ", "Ⱥ", "中 "])
def test_a_document_of_50_mb_needs_less_than_1_gb(shape):
    text, hashes = shingles.scratch(50_000_000)
    assert text.nbytes + hashes.nbytes + 3 * hashes.nbytes < 1e9
    document = np.frombuffer((shape * (1_000_000 // len(shape.encode()))).encode(), np.uint8)
    text, hashes = shingles.scratch(document.size)
    length = words.normalise(document, words.folded(), text)
    assert length + words.BLOCK <= text.size
    assert words.hash_words(text, length, hashes) <= hashes.size
