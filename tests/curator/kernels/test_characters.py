"""Character shingles equal those of plain Python, for any text."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.kernels import characters
from curator.kernels.unicode import LIMIT
from tests.curator.kernels.specification import (
    buffers,
    character_shingle_hash,
    character_shingles_of,
    characters_of,
    jaccard,
)
from tests.curator.kernels.test_shingles import HARD, texts

SPACES = [" ", "  ", "\t", "\n\n", "\x0b", "\x1c", "\x1f", "\x85", "\u00a0", "\u2003", "\u2028", "\u3000", "\ufeff"]
spaced = st.lists(st.sampled_from([*HARD, *SPACES, "a" * 62, " " * 64, "b" * 126 + "  "])).map("".join)


def sets_of(documents, width=5):
    starts, flat = characters.sets(*buffers(documents), width)
    assert starts.dtype == np.int64
    assert flat.dtype == np.uint64
    return [flat[a:b].tolist() for a, b in itertools.pairwise(starts)]


def expected_of(text, width=5):
    return sorted({character_shingle_hash(shingle) for shingle in character_shingles_of(text, width)})


@given(st.lists(st.one_of(texts, spaced), max_size=4), st.integers(1, 70))
@example(["İ ß Σς ΣΑΣ", "Ⱥ" * 100, "", " \n", "a" * 63 + " \n" + "b" * 63 + " ", "x" * 128], 24)
def test_sets_are_the_sorted_hashes_of_the_specification(documents, width):
    assert sets_of(documents, width) == [expected_of(text, width) for text in documents]


@given(texts, spaced, st.integers(1, 6))
def test_similarity_of_hashes_is_that_of_the_shingles(a, b, width):
    theirs = character_shingles_of(a, width), character_shingles_of(b, width)
    ours = [set(hashes) for hashes in sets_of([a, b], width)]
    if theirs[0] | theirs[1]:
        assert jaccard(*ours) == jaccard(*theirs)
    else:
        assert ours == [set(), set()]


def test_every_code_point_is_folded_as_python_does():
    points = [chr(c) for c in [*range(0xD800), *range(0xE000, LIMIT + 1000), 0x10FFFF]]
    text = "".join(f"x{c}y" for c in points)
    assert sets_of([text], 3) == [expected_of(text, 3)]


def test_golden_hashes_are_frozen():
    assert sets_of(["a", "ab", "Hello,\n  WORLD"], 12) == [
        [0x676B13CD49F1B662],
        [0xECF062953E6C2971],
        [0x34414CA1284B8C88],
    ]


def test_white_space_and_case_do_not_matter_and_punctuation_does():
    first, second, third = sets_of(["Hello,  World\n", "\t hello, world", "hello world"])
    assert first == second
    assert first != third


def test_documents_shorter_than_a_shingle_are_one_shingle():
    assert [len(h) for h in sets_of(["", " \n\u3000", "a", " abcd ", "abcde", "abcdef", "中文中文中文"])] == [
        *(0, 0, 1, 1, 1, 2, 2)
    ]


def test_a_leading_nul_is_a_character():
    assert sets_of(["a"]) != sets_of(["\x00a"])


def test_text_without_spaces_is_compared_by_its_characters():
    """One clause in five changed: by words nothing is left, by characters most is."""
    from curator.kernels import shingles

    clauses = [chr(0x4E00 + 40 * i) * 3 + "".join(chr(0x5000 + 37 * i + j) for j in range(17)) for i in range(40)]
    other = [clause if i % 5 else clause[:-1] + "不" for i, clause in enumerate(clauses)]
    documents = ["，".join(clauses), "，".join(other)]
    by_characters = [set(hashes) for hashes in sets_of(documents, 5)]
    starts, flat = shingles.sets(*buffers(documents), 5)
    by_words = [set(flat[a:b].tolist()) for a, b in itertools.pairwise(starts)]
    assert jaccard(*by_words) == 0
    assert jaccard(*by_characters) > 0.8


@given(st.lists(spaced, min_size=1, max_size=6), st.data())
@settings(max_examples=50)
def test_cutting_a_batch_changes_nothing(documents, data):
    cut = data.draw(st.integers(0, len(documents)))
    offsets, flat = buffers(documents)
    starts, hashes = characters.sets(offsets[cut:], flat, 5)  # offsets that do not start at 0
    assert [hashes[a:b].tolist() for a, b in itertools.pairwise(starts)] == sets_of(documents)[cut:]


def test_no_documents_give_no_sets():
    starts, flat = characters.sets(*buffers([]), 5)
    assert starts.tolist() == [0]
    assert flat.size == 0


def test_documents_longer_than_the_table_are_sorted_in_place(monkeypatch):
    text = "".join(chr(97 + (i * i // 7) % 26) for i in range(5000))
    expected = sets_of([text, text[:3]], 24)
    monkeypatch.setattr(characters, "TABLE", 100)
    assert sets_of([text, text[:3]], 24) == expected
    assert expected[0] == expected_of(text, 24)


@pytest.mark.parametrize("token", ["a ", "word ", "\n", "中", "😀"])
def test_a_token_repeated_a_hundred_thousand_times(token):
    assert sets_of([token * 100_000], 24) == [expected_of(token * 100, 24)]
    assert len(characters_of(token * 100)) >= 24 or not token.strip()


def test_a_document_of_50_mb_needs_less_than_1_gb():
    points, hashes = characters.scratch(50_000_000)
    assert points.nbytes + hashes.nbytes + 24 * characters.TABLE + hashes.nbytes < 1.1e9  # with the result
