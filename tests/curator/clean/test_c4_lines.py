"""C4's lines: what is left against plain Python and datatrove, what is told, and hostile texts."""

from __future__ import annotations

import random
import re
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator import frames
from curator.clean.c4_lines import C4Lines
from tests.curator.filter.test_gopher import real_texts

CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
PIECES = [
    *("a", "bc", "Hello", "word", "x" * 12, "y" * 40, "é", "中", "😀", "\U000e0041", "İ", "\0", "one two three four."),
    *("lorem ipsum", "LOREM [1]ipsum", "javascript", "java[3]Script", "{", "}"),
    *("Privacy policy", "Terms of Use", "use coo\u212aies", "uses cookies", "cookie", "policy"),
    *("[1]", "[]", "[edit]", "[citation needed]", "[[1]]", "[١٢]", "[12", "]", "[a]", "[ 1]", "[Edit]", " . [2]"),
    *(".", "!", "?", '"', "'", "..", "...", ". ", "”", "…", "。"),
    *(" ", " ", "  ", "\t", "\u00a0", "\u3000", "\x1f", "a b c.", "d e f! "),
    *("\n", "\n", "\n\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"),
]  # fmt: skip
SETTINGS: list[dict[str, Any]] = [
    {},
    {"terminal_mark": False},
    {"terminal_mark": False, "min_words": None},
    {"max_word_length": 10, "citations": False},
    {"terminal_mark": False, "min_words": 1, "lorem_ipsum": False, "curly_bracket": False, "max_word_length": None},
    {"terminal_mark": False, "policy": False, "javascript": False},
    {"terminal_mark": False, "max_word_length": 70},  # longer than a block of the kernel
]


def verdict(stage: C4Lines, line: str) -> tuple[str, str]:
    """Return why a line goes, "" where it stays, and the line without its citations."""
    words, lower = line.split(), ""
    if stage.max_word_length is not None and max(map(len, words), default=0) > stage.max_word_length:
        return "long_word", line
    if stage.citations:
        line = CITATION.sub("", line)
    if stage.terminal_mark and (line[-1:] not in {".", "?", "!", '"', "'"} or line[-3:] == "..."):
        return "no_terminal_mark", line
    if len(words) < (stage.min_words or 0):
        return "few_words", line
    lower = line.lower()
    left = (stage.lorem_ipsum and "lorem ipsum" in lower, stage.curly_bracket and "{" in lower)
    if stage.javascript and "javascript" in lower and not left[0]:
        return "javascript", line
    if stage.policy and any(phrase in lower for phrase in POLICY) and not any(left):
        return "policy", line
    return "", line


def reference(stage: C4Lines, text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return what is left of a text, and (kind, line) of each line that goes, in order."""
    kept, gone = [], []
    for line in map(str.strip, text.splitlines()):
        kind, left = verdict(stage, line)
        if not kind:
            kept.append(left)
        elif line:
            gone.append((kind, line))
    return "\n".join(kept).strip(), gone


def measured(stage: C4Lines, texts: list[str | None]) -> list[dict[str, Any]]:
    frame = frames.from_arrow(pa.table({"text": pa.array(texts, pa.large_string())}))
    return frames.to_arrow(stage.measure(frame)).to_pylist()


def cuts(text: str, row: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (kind, what was cut) of what is told."""
    data = text.encode()
    places = zip(row["c4_cut_kinds"], row["c4_cut_starts"], row["c4_cut_stops"])
    return [(kind, data[a:b].decode()) for kind, a, b in places]


def compare(stage: C4Lines, texts: list[str]) -> None:
    for text, row in zip(texts, measured(stage, texts), strict=True):
        left, gone = reference(stage, text)
        told = cuts(text, row)
        assert row["text"] == left, text
        assert [cut for cut in told if cut[0] != "citation"] == gone, text
        assert all(CITATION.fullmatch(cut.strip()) for kind, cut in told if kind == "citation"), text
        assert row["c4_cut_share"] == sum(len(cut.encode()) for _, cut in told) / max(1, len(text.encode()))


def generated(seed: int, many: int) -> list[str]:
    choose = random.Random(seed)
    return [
        "".join(choose.choice(PIECES) + choose.choice(["", " "]) for _ in range(choose.choice([1, 3, 8, 20, 60])))
        for _ in range(many)
    ]


@pytest.mark.parametrize("fields", SETTINGS)
def test_against_plain_python(fields):
    compare(C4Lines(**fields), generated(1, 3000))


@given(
    st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=25).map("".join), max_size=4),
    st.sampled_from(SETTINGS),
)
def test_against_plain_python_on_any_text(texts, fields):
    compare(C4Lines(**fields), texts)


@pytest.mark.parametrize(
    ("text", "left", "told"),
    [
        ("One, two, three.", "One, two, three.", []),
        ("One, two, three.\nNavigation\nFour, five, six.", "One, two, three.\nFour, five, six.",
         [("no_terminal_mark", "Navigation")]),
        ("Too short.\r\n\r\n  A line, it is kept. \r\nAnd so on...\r\n", "A line, it is kept.",
         [("few_words", "Too short."), ("no_terminal_mark", "And so on...")]),
        ("It was so.[1][edit] Yes[2][a].\n[3] And this is.", "It was so. Yes[a].\n And this is.",
         [("citation", "[1]"), ("citation", "[edit]"), ("citation", "[2]"), ("citation", "[3]")]),
        ("[1] It was so.", "It was so.", [("citation", "[1] ")]),
        ("It ends so. [1]", "", [("no_terminal_mark", "It ends so. [1]")]),  # a space is left at its end
        ("Please enable JavaScript here.\nWe use cookies at will.", "",
         [("javascript", "Please enable JavaScript here."), ("policy", "We use cookies at will.")]),
        ("JavaScript and lorem ipsum stay.\nCookie policy {with it}.", "JavaScript and lorem ipsum stay.\n"
         "Cookie policy {with it}.", []),
        ("A word of " + "x" * 1001 + ".", "", [("long_word", "A word of " + "x" * 1001 + ".")]),
        ("A word of " + "é" * 999 + ".", "A word of " + "é" * 999 + ".", []),
    ],
)  # fmt: skip
def test_lines(text, left, told):
    (row,) = measured(C4Lines(), [text])
    assert (row["text"], cuts(text, row)) == (left, told)


def test_a_text_of_which_little_is_left_is_rejected():
    stage = C4Lines(max_cut=0.5, min_characters=5)
    texts = ["Menu\nHome", "Menu\nHome, sweet home.", "A long, long line of navigation\nHome, sweet home.", "", None]
    signals = stage.measure(pd.DataFrame({"text": pd.Series(texts, dtype="str")}))
    masks = {reason: mask.fillna(False).tolist() for reason, mask in stage.reject(signals).items()}
    assert masks == {
        "nothing_left": [True, False, False, False, False],
        "mostly_cut": [True, False, True, False, False],
    }


@pytest.mark.parametrize(
    "text", ["\0" * 9, "[" * 400_000, "[1" * 200_000, "[1]" * 200_000, "a [1] " * 100_000, "\u2028" * 100_000, "\r" * 7]
)
def test_hostile_texts_take_no_longer_than_their_length(text):
    for fields in SETTINGS:
        (row,) = measured(C4Lines(**fields), [text])
        assert row["text"] == reference(C4Lines(**fields), text)[0]


def compare_with_datatrove(texts: list[str], fields: dict[str, Any]) -> None:
    data = pytest.importorskip("datatrove.data")
    from datatrove.pipeline.filters import c4_filters

    stage = C4Lines(**fields)
    peer = c4_filters.C4QualityFilter(
        remove_citations=stage.citations,
        filter_no_terminal_punct=stage.terminal_mark,
        min_num_sentences=-1,
        min_words_per_line=-1 if stage.min_words is None else stage.min_words,
        max_word_length=-1 if stage.max_word_length is None else stage.max_word_length,
        filter_lorem_ipsum=stage.lorem_ipsum,
        filter_javascript=stage.javascript,
        filter_curly_bracket=stage.curly_bracket,
        filter_policy=stage.policy,
    )
    dropped, kept = 0, 0
    for text, row in zip(texts, measured(stage, texts), strict=True):
        document = data.Document(text=text, id="")
        answer = peer.filter(document)
        if answer is True:
            kept += bool(document.text)
            assert row["text"] == document.text, text
        else:
            dropped += 1
            assert "lorem ipsum" in row["text"].lower() or "{" in row["text"], text  # left to C4Quality
    print(f"{len(texts)} compared, {kept} kept with text, {dropped} dropped")
    assert kept


@pytest.mark.peer
@pytest.mark.parametrize("fields", SETTINGS)
def test_what_is_left_is_what_datatrove_leaves(fields):
    compare_with_datatrove([*generated(2, 10_000), "", " ", "\n"], fields)


@pytest.mark.peer
@pytest.mark.realdata
def test_what_is_left_of_real_texts_is_what_datatrove_leaves(shared):
    compare_with_datatrove(real_texts(shared), {})
