"""C4's rules for documents: each rule, plain Python, and datatrove's decisions."""

from __future__ import annotations

import heapq
import random

import pandas as pd
import pytest

from curator.clean.c4_lines import C4Lines
from curator.filter.c4 import C4Paragraphs, C4Quality
from tests.curator.clean.test_c4_lines import generated, measured
from tests.curator.filter.test_gopher import first_reasons
from tests.curator.kernels.test_sentences import sentences

FIVE = "This is one. Here is two. And now three. Then comes four. At last five."
REASONS = {"too_few_sentences": "few_sentences", "": ""}  # datatrove's names -> ours


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (FIVE, ""),
        (FIVE.replace(". ", ".\n"), ""),
        (FIVE.replace(" three.", " three,"), "few_sentences"),
        (FIVE + " Lorem IPSUM.", "lorem_ipsum"),
        (FIVE + " A { here.", "curly_bracket"),
        ("{ lorem ipsum", "lorem_ipsum"),
        ("", "few_sentences"),
        (None, "few_sentences"),
    ],
)
def test_quality_drops(text, reason):
    assert first_reasons(C4Quality(), [text]) == [reason]


def test_a_limit_of_none_is_no_limit():
    assert first_reasons(C4Quality(max_lorem_ipsum=None, min_sentences=None), ["lorem ipsum", "{"]) == [
        "",
        "curly_bracket",
    ]


def pages(seed: int, many: int) -> list[str]:
    choose = random.Random(seed)
    lengths = [0, 3, 19, 20, 21, 40]
    return [
        "".join(
            choose.choice("aé中😀 \r") * choose.choice(lengths) + choose.choice(["\n", "\n\n", "\u2028"])
            for _ in range(choose.randrange(8))
        )
        for _ in range(many)
    ]


def test_paragraphs_against_plain_python():
    texts = ["", "\n\n", "é" * 20, *pages(1, 3000)]
    for stage in (C4Paragraphs(min_paragraph_characters=20), C4Paragraphs(2, 21)):
        long = [sum(len(line) >= stage.min_paragraph_characters for line in text.split("\n")) for text in texts]
        signals = stage.measure(pd.DataFrame({"text": pd.Series(texts, dtype="str")}))
        assert signals["long_paragraphs"].tolist() == long
        assert first_reasons(stage, texts) == ["few_paragraphs" * (n < stage.min_paragraphs) for n in long]


@pytest.mark.peer
def test_paragraphs_are_judged_as_by_datatrove():
    data = pytest.importorskip("datatrove.data")
    from datatrove.pipeline.filters import c4_filters

    peer = c4_filters.C4ParagraphFilter()
    peer.min_paragraph_len = 20
    texts = pages(2, 10_000)
    expected = [peer.filter(data.Document(text=text, id="")) is True for text in texts]
    assert [reason == "" for reason in first_reasons(C4Paragraphs(min_paragraph_characters=20), texts)] == expected
    assert 0 < sum(expected) < len(texts)


@pytest.mark.peer
@pytest.mark.parametrize("min_sentences", [1, 2, 5])
def test_lines_and_quality_decide_as_datatrove(monkeypatch, min_sentences):
    """With the same number of sentences a line; its own is compared in benchmarks/c4_sentences.py."""
    data = pytest.importorskip("datatrove.data")
    from datatrove.pipeline.filters import c4_filters

    monkeypatch.setattr(c4_filters, "split_into_sentences", lambda line, language: [""] * sentences(line))
    peer = c4_filters.C4QualityFilter(min_num_sentences=min_sentences)
    texts = [*generated(3, 10_000), "", " ", "\n", None]
    rows = measured(C4Lines(min_characters=0), texts)
    found = first_reasons(C4Quality(min_sentences=min_sentences), [row["text"] for row in rows])
    answers = [peer.filter(data.Document(text=text or "", id="")) for text in texts]
    for text, ours, answer in zip(texts, found, answers, strict=True):
        theirs = "" if answer is True else answer[1]
        both = {"lorem_ipsum", "curly_bracket"}
        if ours == "lorem_ipsum" and theirs in both:
            continue  # it names what it finds first
        assert ours == REASONS.get(theirs, theirs), text
    assert len(set(found)) == 4
    print(pd.Series(found).value_counts().to_dict())


def test_the_third_longest_decides():
    texts = pages(4, 500)
    third = [min(heapq.nlargest(3, map(len, text.split("\n")))) if text.count("\n") > 1 else -1 for text in texts]
    stage = C4Paragraphs(min_paragraph_characters=20)
    assert [reason == "" for reason in first_reasons(stage, texts)] == [length >= 20 for length in third]
