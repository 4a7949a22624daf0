"""The bad-word filter: datatrove's regular expression, boundaries, case, lists that cannot be read."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator import frames
from curator.errors import CuratorError, InputError, SpecError
from curator.filter.bad_words import ALLOWED, C4BadWords, language
from millrace.errors import ConfigError

WORDS = Path(__file__).with_name("words")
ENGLISH, JAPANESE = str(WORDS / "en.txt"), str(WORDS / "ja")
ENTRIES = {"blast", "heck", "very bad", "darn-it", "the", "k9", "naïve", "c++", "οδός", "hi̇"}
PIECES = [
    *("blast", "Heck", "HECK", "very", "bad", "very bad", "Very\nBad", "darn-it", "Darn-It", "the", "\u212a9", "k9"),
    *("naïve", "NAÏVE", "naï", "C++", "c+", "ΟΔΌΣ", "οδόσ", "HİX", "HİM", "Hİ", "hi", "a", "é", "中", "_", "1", "٣"),
    *("ばか", "だめ", "性", "sm", " ", " ", "\n", "-", ".", "'", "\u0307", "\u0301", "²", "😀", "\0"),
]  # fmt: skip


def expression(entries: set[str], unspaced: bool = False) -> re.Pattern[str]:
    """The expression of datatrove 0.10, on entries in lower case."""
    either = "|".join(map(re.escape, sorted(entries, key=lambda e: (-len(e), e))))
    return re.compile(f"({either})") if unspaced else re.compile(rf"(?:\W|^)({either})(?:\W|$)")


def entries(path: str) -> set[str]:
    return {line.strip().lower() for line in Path(path).read_text().splitlines()} - {"", *ALLOWED}


def found(stage: C4BadWords, texts: list[str | None], langs: list[str | None] | None = None) -> list[str | None]:
    columns = {"text": texts} | ({"lang": langs} if langs else {})
    frame = pd.DataFrame({name: pd.Series(values, dtype="str") for name, values in columns.items()})
    return frames.to_arrow(stage.measure(frame))["bad_word"].to_pylist()


def first(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text.lower())
    return match and match.group(1)


def generated(seed: int, many: int) -> list[str]:
    choose = random.Random(seed)
    return ["".join(choose.choices(PIECES, k=choose.choice([1, 2, 3, 6, 12]))) for _ in range(many)]


@pytest.fixture(scope="module")
def lists(tmp_path_factory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("lists")
    (folder / "en").write_text("\n".join(ENTRIES))
    (folder / "zh.txt").write_text("ばか\nだめ\nK9\n")
    return str(folder / "en"), str(folder / "zh.txt")


def test_against_plain_python(lists):
    texts = generated(1, 20_000)
    expected = [first(expression(ENTRIES), text) for text in texts]
    assert found(C4BadWords(lists[:1]), texts) == expected
    assert {*expected} == {*ENTRIES, None}
    unspaced = [first(expression({"ばか", "だめ", "k9"}, unspaced=True), text) for text in texts]
    assert found(C4BadWords(lists[1:]), texts) == unspaced
    assert {*unspaced} == {"ばか", "だめ", "k9", None}


@given(st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=8).map("".join), max_size=6))
def test_against_plain_python_on_any_text(texts):
    assert found(C4BadWords((ENGLISH,)), texts) == [first(expression(entries(ENGLISH)), text) for text in texts]


@pytest.mark.peer
def test_decisions_are_those_of_datatrove(monkeypatch, lists):
    data = pytest.importorskip("datatrove.data")
    from datatrove.pipeline.filters import c4_filters

    texts = generated(2, 20_000)
    for url, tongue in zip(lists, ("en", "zh")):
        monkeypatch.setattr(c4_filters, "cached_asset_path_or_download", lambda *_, path=url, **__: path)
        peer = c4_filters.C4BadWordsFilter(default_language=tongue)
        lower = [text for text in texts if "9" not in text]  # an entry with a capital, K9, is never found there
        expected = [peer.filter(data.Document(text=text, id="")) is True for text in lower]
        assert [word is None for word in found(C4BadWords((url,)), lower)] == expected
        assert 0 < sum(expected) < len(lower)


def test_texts_are_judged_by_the_list_of_their_language():
    texts, langs = ["heck ばか", "heck ばか", "heck ばか", "heck", None], ["en", "ja", "fr", None, "en"]
    stage = C4BadWords((ENGLISH, JAPANESE), by_language=True)
    assert found(stage, texts, langs) == ["heck", "ばか", None, None, None]
    assert set(stage.reads) == {"text", "lang"}
    assert found(C4BadWords((ENGLISH, JAPANESE)), texts) == ["heck", "heck", "heck", "heck", None]
    assert found(C4BadWords((ENGLISH, JAPANESE)), ["それはだめ", "女性 sm"]) == ["だめ", None]  # 性 and sm pass


def test_a_list_is_named_by_its_language():
    assert [language(url) for url in ("a/en", "de.txt", "s3://b/c/fr-CA-u-sd-caqc")] == ["en", "de", "fr-CA-u-sd-caqc"]


def rejected(stage: C4BadWords, texts: list[str]) -> list[bool]:
    signals = stage.measure(pd.DataFrame({"text": texts}))
    return stage.reject(signals)["bad_word"].fillna(False).tolist()


def test_a_fraction_is_kept_whatever_the_order():
    texts = [f"heck {i}" for i in range(4000)] + ["fine"]
    half = rejected(C4BadWords((ENGLISH,), keep_fraction=0.3), texts)
    assert half[-1] is False
    assert 0.67 < sum(half) / 4000 < 0.73
    assert rejected(C4BadWords((ENGLISH,), keep_fraction=0.3), texts[::-1]) == half[::-1]
    assert rejected(C4BadWords((ENGLISH,), keep_fraction=0.3, seed=1), texts) != half
    assert sum(rejected(C4BadWords((ENGLISH,)), texts)) == 4000
    assert sum(rejected(C4BadWords((ENGLISH,), keep_fraction=1.0), texts)) == 0


def test_the_ledger_names_the_word():
    stage = C4BadWords((ENGLISH,), keep_fraction=0.5)
    signals = stage.measure(pd.DataFrame({"text": ["oh heck"]}))
    evidence = stage.explain(signals, "bad_word")
    assert evidence["value_text"].tolist() == ["heck"]
    assert (evidence["threshold"], 0 < evidence["value"][0] <= 1) == (0.5, True)


def test_lists_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "en").write_text("\n \nsm\n")
    (tmp_path / "de").write_bytes(b"\xff\xfe")
    for name, said in (("en", "holds no entry"), ("de", "is not UTF-8"), ("fr", "there is no file")):
        stage = C4BadWords((str(tmp_path / name),))
        with pytest.raises(InputError, match=said) as caught:
            stage.check("")
        assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(InputError, match="there is no file"):
        stage.named_files()


@pytest.mark.parametrize("fields", [{"words": ()}, {"keep_fraction": 1.5}, {"seed": -1}])
def test_fields_out_of_range_are_refused(fields):
    with pytest.raises(SpecError, match=next(iter(fields))):
        C4BadWords(**{"words": (ENGLISH,)} | fields)


def test_a_changed_list_is_another_fingerprint(tmp_path):
    from curator import fingerprint

    path = tmp_path / "en"
    prints = []
    for content in ("heck", "heck\nblast"):
        path.write_text(content)
        stage = C4BadWords((str(path),))
        prints.append(fingerprint.of_stage(stage))
        assert found(stage, ["blast"]) == [None if content == "heck" else "blast"]
    assert prints[0] != prints[1]


def test_a_list_of_another_language_is_another_fingerprint(tmp_path):
    """Its name tells the language, and so where its entries may stand."""
    from curator import fingerprint

    prints, decisions = [], []
    for name in ("en", "ja", "lists/en.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("heck")
        prints.append(fingerprint.of_stage(C4BadWords((str(path),))))
        decisions += found(C4BadWords((str(path),)), ["checker"])
    assert decisions == [None, "heck", None]
    assert prints[0] == prints[2] != prints[1]


def test_one_name_where_names_are_expected_is_refused():
    from curator import spec

    with pytest.raises((CuratorError, ConfigError)):
        spec.stage_from_spec({"C4BadWords": {"words": "lists/en"}})
