"""Perplexity: against a back-off model reckoned by hand, and where kenlm is installed against what it reads."""

from __future__ import annotations

import importlib.util

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator import Perplexity, frames
from curator.errors import ModelError, SpecError
from curator.filter.perplexity import normalised, perplexity
from tests.curator.filter import arpa_file


def frame_of(texts):
    frame = frames.from_arrow(pa.table({"text": pa.array(texts, pa.large_string())}))
    frame.index = range(3, 3 + len(texts))
    return frame


def test_perplexity_by_hand():
    """<s> the -0.25, the river -0.5, river </s> -0.375: 1.125 over three words."""
    assert perplexity(["the river"], arpa_file.score) == pytest.approx(10 ** (1.125 / 3))
    # <s> a: -0.5 - 1.5; a </s>: 0 - 1; an empty line: <s> </s>: -0.5 - 1
    assert perplexity(["the river", "a", ""], arpa_file.score) == pytest.approx(10 ** ((1.125 + 3 + 1.5) / 6))
    assert pd.isna(perplexity(["", "  "], arpa_file.score))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Été 1999: «Ça va?» — OK…\n", 'ete 0000: "ca va?"  -  ok...'),
        ("one\ntwo\tthree\x00\x9f", "onetwothree"),
        ("５％，（ａ）", "0%,(ａ)"),
        ("", ""),
    ],
)
def test_text_is_normalised_as_for_the_models_of_ccnet(text, expected):
    assert normalised(text) == expected


@given(st.text())
def test_normal_text_has_no_capitals_accents_digits_or_control_characters(text):
    import unicodedata

    for character in normalised(text):
        assert unicodedata.category(character) not in ("Mn", "Cc")
        assert not character.isdecimal() or character == "0"


SIGNALS = pd.DataFrame(
    {"perplexity": pd.array([10.0, 30.0, 90.0, None], "float32"),
     "perplexity_bucket": pd.array(["head", "middle", "tail", None])}
)  # fmt: skip


def test_rejects_by_bucket_and_by_limits():
    stage = Perplexity("m", head=20.0, tail=40.0, keep=("head",), max_perplexity=50.0, min_perplexity=15.0)
    assert {reason: mask.fillna(False).tolist() for reason, mask in stage.reject(SIGNALS).items()} == {
        "bucket": [False, True, True, False],
        "perplexity": [False, False, True, False],
        "likely": [True, False, False, False],
    }
    assert Perplexity("m").reject(SIGNALS) == {}
    assert stage.explain(SIGNALS, "perplexity")["threshold"] == 50.0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"head": 3.0}, "give both"),
        ({"head": 3.0, "tail": 2.0}, "head the lower"),
        ({"keep": ("head",)}, "give their cutoffs"),
        ({"head": 1.0, "tail": 2.0, "keep": ("heads",)}, r"'heads'. Did you mean head\?"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(SpecError, match=said):
        Perplexity("m", **settings)


def test_without_kenlm_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"perplexity needs kenlm; pip install 'millrace\[perplexity\]'"):
        Perplexity(arpa_file.write_model(tmp_path / "m.arpa")).check("")


@pytest.fixture
def model(tmp_path):
    pytest.importorskip("kenlm", reason="kenlm is absent; the perplexity extra installs it")
    return arpa_file.write_model(tmp_path / "m.arpa")


TEXTS = ["The river", "the river\na\n", "THE unheard-of 1 river", None, "", " \n ", "7", "a\x00a\r\nriver"]


def test_a_model_that_kenlm_reads_gives_what_is_reckoned_by_hand(model, capfd):
    made = Perplexity(model, head=10.0, tail=40.0).measure(frame_of(TEXTS))
    expected = [perplexity([normalised(line) for line in (text or "").split("\n")], arpa_file.score) for text in TEXTS]
    assert (
        made["perplexity"].isna().tolist()
        == pd.isna(pd.Series(expected)).tolist()
        == [False] * 3 + [True] * 3 + [False] * 2
    )
    assert made["perplexity"].dropna().tolist() == pytest.approx([one for one in expected if one == one], rel=1e-6)
    for value, bucket in zip(made["perplexity"], made["perplexity_bucket"]):
        rule = None if pd.isna(value) else "head" if value < 10 else "middle" if value < 40 else "tail"
        assert (None if pd.isna(bucket) else bucket) == rule
    assert set(made["perplexity_bucket"].dropna()) == {"head", "middle", "tail"}
    assert made.index.tolist() == list(range(3, 11))
    assert Perplexity(model).measure(frame_of(TEXTS))["perplexity_bucket"].isna().all()
    assert capfd.readouterr() == ("", "")
    raw = Perplexity(model, normalise=False).measure(frame_of(["The river", "the river"]))["perplexity"].tolist()
    assert raw[0] > raw[1] == pytest.approx(10 ** (1.125 / 3))


def test_pieces_of_sentencepiece_are_the_words(tmp_path, model):
    sentencepiece = pytest.importorskip("sentencepiece", reason="the perplexity extra installs it")
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the river runs to a river of the rivers\nriver the a\n" * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(tmp_path / "sp"), vocab_size=24, minloglevel=2, hard_vocab_limit=False
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "sp.model"))
    made = Perplexity(model, sentencepiece=str(tmp_path / "sp.model")).measure(frame_of(["The river\nA Rivér", None]))
    line = " ".join(pieces.encode_as_pieces("the rivera river"))  # as CCNet does: the line end is gone
    assert made["perplexity"].tolist()[0] == pytest.approx(perplexity([line], arpa_file.score), rel=1e-6)
    assert pd.isna(made["perplexity"].iloc[1])


def test_bad_model_files_are_one_line(tmp_path, model):
    (tmp_path / "bad.arpa").write_text("no model")
    for name, said in (("bad.arpa", "is not a KenLM model"), ("none.arpa", "there is no model file")):
        with pytest.raises(ModelError, match=said) as caught:
            Perplexity(str(tmp_path / name)).check("")
        assert "\n" not in str(caught.value)
    pytest.importorskip("sentencepiece", reason="the perplexity extra installs it")
    for name, said in (("bad.arpa", "is not a SentencePiece model"), ("none", "there is no model file")):
        with pytest.raises(ModelError, match=said):
            Perplexity(model, sentencepiece=str(tmp_path / name)).check("")


@pytest.mark.parametrize("each", [-38.4, -38.6, -100.0, -1000.0])
def test_words_without_a_probability_give_no_overflow(each):
    found = np.float64(perplexity(["x y z"], lambda line: 4 * each)).astype(np.float32)
    assert found == (np.float32(10**38.4) if each == -38.4 else np.inf)
