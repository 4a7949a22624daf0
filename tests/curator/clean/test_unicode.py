"""FixUnicode equals ftfy on every text, however little of it ftfy gets to see."""

import gzip
import json
import random
from pathlib import Path

import ftfy
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from ftfy.badness import BADNESS_RE, MOJIBAKE_CATEGORIES
from hypothesis import given
from hypothesis import strategies as st

from curator import frames
from curator.clean.unicode import FixUnicode, _to_re2

STAGES = [FixUnicode(form, uncurl) for form in ("NFC", "NFKC") for uncurl in (False, True)]

ENTITIES = [
    "&amp;",
    "&eacute;",
    "&EACUTE;",
    "&#233;",
    "&#x80;",
    "&#xD800;",
    "&nope;",
    "&amp",
    "&",
    "&lt;b&gt;",
]
SEGMENTS = [
    *ENTITIES,
    "<",
    "\n",
    "\r\n",
    "\r",
    "\u2028",
    "\x85",
    " ",
    "a",
    "Z",
    "\x00",
    "\x1b[31m",
    "\ufeff",
    "œ",
]
CLUES = "".join(c for c in map(chr, range(0x80, 0x2600)) if BADNESS_RE.search(f"¤{c}¤") or c in "ÃÂàœ“”’–€™")
ENCODINGS = [
    "latin-1",
    "cp1252",
    "cp1251",
    "cp1250",
    "cp1253",
    "cp1254",
    "cp1257",
    "iso-8859-2",
    "macroman",
    "cp437",
]


def frame_of(texts):
    return frames.from_arrow(pa.table({"text": pa.array(texts, pa.large_string())}))


def by_ftfy(stage, text):
    return ftfy.fix_text(
        text,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=stage.uncurl_quotes,
        normalization=stage.form,
        explain=False,
    )


def assert_equals_ftfy(stage, texts):
    assert stage.map(frame_of(texts))["text"].tolist() == [by_ftfy(stage, text) for text in texts]


def misread(text, encoding):
    """Make mojibake: UTF-8 bytes decoded in another encoding."""
    return text.encode().decode(encoding, "replace")


legal_text = st.text(st.characters(exclude_categories=["Cs"]))
mojibake = st.builds(
    misread,
    legal_text | st.sampled_from(["naïve", "“so”", "Привет", "日本", "à la", "…"]),
    st.sampled_from(ENCODINGS),
)
pieces = st.lists(st.sampled_from(SEGMENTS) | st.text(CLUES + "aZ ", max_size=4) | mojibake | legal_text, max_size=12)


@pytest.mark.parametrize("stage", STAGES, ids=str)
@given(texts=st.lists(pieces.map("".join), max_size=4))
def test_against_ftfy_on_made_up_texts(stage, texts):
    assert_equals_ftfy(stage, texts)


def test_the_re2_pattern_finds_all_that_ftfy_calls_bad():
    members = [c for c in map(chr, range(0x80, 0x10000)) if any(_belongs(c, s) for s in MOJIBAKE_CATEGORIES.values())]
    dice = random.Random(0)
    alphabet = members + list("aZ \n.,²³€°ВÃÂ×√≈‚β")
    texts = [a + b for a in members for b in dice.sample(members, 120)]
    texts += ["".join(dice.choices(alphabet, k=4)) for _ in range(40_000)]
    found = pc.match_substring_regex(pa.array(texts), _to_re2(BADNESS_RE.pattern)).to_pylist()
    bad = [bool(BADNESS_RE.search(text)) for text in texts]
    assert sum(bad) > 10_000
    assert [text for text, one, other in zip(texts, bad, found) if one and not other] == []


def _belongs(character, ranges):
    spans = zip(ranges, ranges[1:] + " ", ranges[2:] + "  ")
    return character in ranges or any(b == "-" and a <= character <= c for a, b, c in spans)


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_examples(stage):
    assert_equals_ftfy(
        stage,
        [
            "",
            "plain\ttext\n",
            "sÃ³ &amp; &lt;",
            "&amp;\n<p>\n&amp;\n",
            "&amp;\r&amp;<",
            "e\u0301te\u0301 and ﬁ",
            "L&amp;&ampamp;",
            "Ã ",
            "x\nÂ y",
            "1\nÂ y",
            "“quoted” ’tis\u02bc",
            "voilÃ le travail",
            "ＬＯＵＤ",
            "한국어 \u1112\u1161\u11ab",
            "íŠ¸ \U0001f600 \x7f",
        ],
    )


def test_lines_longer_than_ftfy_decodes_at_once():
    line = "1" * 1_000_000  # what comes after it is a segment of its own
    assert_equals_ftfy(FixUnicode(), [line + "Ã â€œy", line + "Â y", line + "&amp;<" + "é" * 1_000_001 + "&amp;"])


def test_null_stays_null_and_other_columns_stay():
    frame = frame_of(["a", None, "sÃ³", None]).assign(other=[1, 2, 3, 4])
    frame.index = [7, 8, 9, 3]
    fixed = FixUnicode().map(frame)
    assert fixed["text"].isna().tolist() == [False, True, False, True]
    assert fixed["text"].iloc[2] == "só"
    assert fixed["other"].tolist() == [1, 2, 3, 4]
    assert fixed.index.tolist() == [7, 8, 9, 3]
    assert frame["text"].iloc[2] == "sÃ³", "the frame given was changed"


def test_empty_and_all_null_frames():
    assert len(FixUnicode().map(frame_of([]))) == 0
    assert FixUnicode().map(frame_of([None]))["text"].isna().all()


def test_clean_texts_are_not_touched():
    frame = frame_of(["plain", "naïve “so”", "日本"])
    assert FixUnicode().map(frame) is frame


def test_the_type_of_the_column_is_kept():
    frame = frame_of(["sÃ³"])
    pd.testing.assert_series_equal(frame.dtypes, FixUnicode().map(frame).dtypes)


def _texts(file: Path):
    with gzip.open(file, "rt", encoding="utf8", newline="\n") as lines:
        if ".jsonl" in file.name:
            return [json.loads(line)["text"] for line in lines]
        return [line.rstrip("\n").split("\t", 1)[1] for line in lines]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("langid/lingua_sentences.tsv.gz", 7),
        ("langid/udhr2_paragraphs.tsv.gz", 3),
        ("text_en/reuters21578_A.jsonl.gz", 4),
    ],
)
def test_against_ftfy_on_real_texts(shared, name, step):
    texts = _texts(shared / "data" / name)[::step]
    for stage in (FixUnicode(), FixUnicode("NFKC", uncurl_quotes=True)):
        assert_equals_ftfy(stage, texts)
    assert_equals_ftfy(FixUnicode(), ["\n".join(texts[i : i + 20]) for i in range(0, len(texts), 20)])


@pytest.mark.realdata
@pytest.mark.parametrize("encoding", ["cp1252", "cp1251", "macroman"])
def test_against_ftfy_on_real_texts_misread(shared, encoding):
    texts = [misread(text, encoding) for text in _texts(shared / "data/langid/lingua_sentences.tsv.gz")[::80]]
    assert_equals_ftfy(FixUnicode(), texts)
