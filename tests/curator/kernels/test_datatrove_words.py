"""The table of chunks against spaCy itself, of which it must keep every token."""

from __future__ import annotations

import importlib.util
import itertools
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import ModelError
from curator.filter.gopher import GopherQuality
from curator.kernels import spacy_rules
from curator.kernels.arrow import flatten
from curator.kernels.datatrove_words import LONGEST, RUN, KnownChunks
from curator.kernels.spacy_rules import Tokeniser, read_tokeniser

needs_spacy = pytest.mark.skipif(
    importlib.util.find_spec("spacy") is None, reason="spaCy is not installed: pip install 'millrace[datatrove-words]'"
)
GAPS = ["", "", "", " ", " ", " ", "  ", "\n", "\t", "\u00a0", "\u3000", "\x1c"]
PLAIN = [
    *("the", "x", "don't", "cannot", "gonna", "1.5km", "U.S.", "e.g", "and/or", "foo@bar.com", "http://a.b/c?d=e"),
    *("中文。", "é", "😀", "\x00", "--", "...", "$5", "IS_ASCII", "f(x):", "''''", "x''", "#:x-label"),
    *"'\"()-:;.*<>_=38x/#$%,!?&",
]
# "x):" holds the special case "):", but not where ": - )" stands across the spaces after it
TORN = ["x):", "f(y):", ":", ")", "(", "-", "'", "''", "x''", "-)", "((", "a:*", "*", "x", "o)", "(o", "d."]
# Pieces of which affixes, infixes, numbers, URLs and special cases are made
AFFIXED = [
    *"aAzZé中я019.,:;!?()[]{}<>'\"`-–—_=+*^/#$%&@|~\\°²̀",
    *(
        "..",
        "...",
        "…",
        "……",
        "--",
        "’s",
        "'s",
        "’",
        "“",
        "”",
        "US$",
        "€",
        "km",
        "m²",
        "°C",
        "n't",
        "'re",
        "😀",
        "x",
        "O",
    ),
    *(
        "foo",
        "Bar",
        "U.S.",
        "a.m.",
        "e.g.",
        ":)",
        "www.",
        "http://",
        ".com",
        ":80",
        "?q=",
        "10.0",
        "192.168.0.1",
        "C++",
    ),
]


@pytest.fixture(scope="module")
def tokeniser() -> Tokeniser:
    return read_tokeniser()


@pytest.fixture(scope="module")
def spacy_words():
    import spacy

    tokenizer = spacy.blank("en").tokenizer
    return lambda text: [token.text for token in tokenizer(text) if token.text.strip()]


def separated(known: KnownChunks, texts: list[str | None]) -> list[list[str]]:
    offsets, data = known.separated(*flatten(pa.array(texts, pa.large_string())))
    return [data[a:b].tobytes().decode().split() for a, b in itertools.pairwise(offsets)]


def adversarial(seed: int, many: int) -> list[str]:
    """Texts of special cases, parts of them and what stands around them, with and without spaces between."""
    import spacy

    choose, cases = random.Random(seed), [*spacy.blank("en").tokenizer.rules]
    pieces = [*cases, *(c[:i] for c in cases if len(c) < 8 for i in (1, 2)), *(c[-1:] for c in cases), *PLAIN * 12]
    kinds = [(pieces, GAPS), (TORN, [" ", " ", " ", "", "\n"])]
    texts = []
    for _ in range(many):
        words, gaps = choose.choice(kinds)
        size = choose.choice([1, 3, 10, 40])
        texts.append("".join(choose.choice(words) + choose.choice(gaps) for _ in range(size)))
    return texts


@pytest.mark.slow  # half a minute of spaCy
@needs_spacy
def test_words_are_those_of_spacy_on_special_cases_torn_apart(tokeniser, spacy_words):
    texts = adversarial(1, 4000)
    found = separated(KnownChunks(tokeniser), texts)
    assert [text for text, words in zip(texts, found, strict=True) if words != spacy_words(text)] == []


@needs_spacy
@given(texts=st.lists(st.text(st.one_of(st.sampled_from("':)(-.*_=<> \n38xad"), st.characters(codec="utf-8")))))
def test_words_are_those_of_spacy(tokeniser, spacy_words, texts):
    assert separated(KnownChunks(tokeniser), texts) == [spacy_words(text) for text in texts]


@needs_spacy
def test_the_neighbour_across_a_space_decides(tokeniser, spacy_words):
    assert separated(KnownChunks(tokeniser), ["x): -", "x): - )"]) == [["x", "):", "-"], ["x", ")", ":", "-", ")"]]
    changed = [text for text in adversarial(2, 3000) if _by_chunks(spacy_words, text) != spacy_words(text)]
    assert len(changed) > 20
    assert separated(KnownChunks(tokeniser), changed) == [*map(spacy_words, changed)]


def _by_chunks(spacy_words, text: str) -> list[str]:
    return [word for chunk in text.split() for word in spacy_words(chunk)]


@needs_spacy
def test_what_is_known_already_changes_nothing(tokeniser):
    texts = [*adversarial(3, 300), "", None, " ", "\x00"]
    fresh, used, small = KnownChunks(tokeniser), KnownChunks(tokeniser), KnownChunks(tokeniser, most=10)
    separated(used, adversarial(4, 300))
    expected = [bytes(part) for part in fresh.separated(*flatten(pa.array(texts, pa.large_string())))]
    for known in (used, small, fresh):
        got = [known.separated(*flatten(pa.array([text], pa.large_string())))[1].tobytes() for text in texts]
        assert b"".join(got) == expected[1]
    assert small._filled[0] < fresh._filled[0]


@needs_spacy
@given(chunks=st.lists(st.lists(st.sampled_from(AFFIXED), min_size=1, max_size=8).map("".join), max_size=30))
def test_affixes_and_infixes_are_those_of_spacy(tokeniser, spacy_words, chunks):
    assert separated(KnownChunks(tokeniser), chunks) == [*map(spacy_words, chunks)]


@needs_spacy
def test_every_special_case_is_known_with_affixes_too(tokeniser, spacy_words):
    import spacy

    cases = [case for case in spacy.blank("en").tokenizer.rules if case.split()]
    chunks = [
        f"{left}{case}{right}" for case in cases for left in ("", "(", '"', "x") for right in ("", ".", "),", "s")
    ]
    assert separated(KnownChunks(tokeniser), chunks) == [*map(spacy_words, chunks)]


@needs_spacy
def test_unseen_chunks_ask_only_for_urls(tokeniser, spacy_words):
    asked: list[str] = []
    known = KnownChunks(tokeniser._replace(is_url=lambda text: asked.append(text) or tokeniser.is_url(text)))
    text = '(well-known) U.S.-based don\'t a.com/b=c, "e.g.:" 1.5km http://a.b.org/c-d). x,y. end.Of x=y.z foo.bar'
    assert separated(known, [text, text]) == [spacy_words(text)] * 2
    assert asked == ["a.com/b=c", "http://a.b.org/c-d", "end.Of", "x=y.z"]


@needs_spacy
def test_a_long_run_of_linked_chunks_is_cut(tokeniser, spacy_words):
    unit = "x): - ) "  # a case across a space, and one within that it forbids, in every other word
    whole, pieces = unit * (RUN // len(unit) // 2), unit * (3 * RUN // len(unit))
    assert separated(KnownChunks(tokeniser), [whole]) == [spacy_words(whole)]
    found, known = separated(KnownChunks(tokeniser), [pieces, "a " + pieces]), KnownChunks(tokeniser)
    assert "".join(found[0]) == pieces.replace(" ", "")
    assert found[1] == ["a", *found[0]] == separated(known, ["a " + pieces])[0]


@needs_spacy
def test_work_broken_off_leaves_no_chunk_without_its_tokens(tokeniser, spacy_words):
    interrupts = [KeyboardInterrupt()]

    def is_url(text: str) -> bool:
        if interrupts:
            raise interrupts.pop()
        return tokeniser.is_url(text)

    known = KnownChunks(tokeniser._replace(is_url=is_url))
    text = "don't stop a.com/b=c here"
    with pytest.raises(KeyboardInterrupt):
        separated(known, [text])
    assert separated(known, [text]) == [spacy_words(text)]


@needs_spacy
def test_a_very_long_chunk_is_cut(tokeniser):
    text = "é" * (2 * LONGEST + 1)
    assert [*map(len, separated(KnownChunks(tokeniser), [text])[0])] == [LONGEST, LONGEST, 1]


@needs_spacy
def test_the_string_that_breaks_spacy_is_a_word(tokeniser):
    texts = ["IS_ALPHA", "x IS_ALPHA y (IS_ALPHA) is_alpha", "IS_ALPHB IS_ALPHA): -"]
    expected = [["IS_ALPHA"], ["x", "IS_ALPHA", "y", "(", "IS_ALPHA", ")", "is_alpha"]]
    for _ in range(2):
        assert separated(KnownChunks(tokeniser), texts)[:2] == expected
    assert separated(KnownChunks(tokeniser), texts)[2][:3] == ["IS_ALPHB", "IS_ALPHA", "):"]


@needs_spacy
def test_many_chunks_outgrow_the_first_tables(tokeniser):
    numbers = np.random.default_rng(1).integers(0, 10**9, 30_000)
    texts = [" ".join(map(str, numbers[i : i + 1000])) for i in range(0, len(numbers), 1000)]
    known = KnownChunks(tokeniser)
    assert separated(known, texts) == [text.split() for text in texts]
    assert separated(known, texts) == [text.split() for text in texts]


def test_without_spacy_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(spacy_rules.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'millrace\[datatrove-words\]'"):
        GopherQuality(words="datatrove").check(str(tmp_path))
    GopherQuality().check(str(tmp_path))
