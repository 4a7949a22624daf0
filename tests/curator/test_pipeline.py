"""A pipeline is checked when it is built: each stage finds the columns it reads."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import curator
from curator import Pipeline
from curator.errors import ColumnError
from curator.pipeline import check_columns
from curator.stage import Filter, at_least

READ = curator.ReadJsonl("x.jsonl")


def test_bars_build_what_a_list_builds():
    stages = [READ, curator.FixUnicode(), curator.ExactDedup()]
    whole = Pipeline(stages)
    assert READ | curator.FixUnicode() | curator.ExactDedup() == whole
    assert READ | (curator.FixUnicode() | curator.ExactDedup()) == whole
    assert Pipeline([READ]) | Pipeline(stages[1:]) == whole
    assert hash(whole) == hash(Pipeline(stages))
    assert str(whole) == "ReadJsonl | FixUnicode | ExactDedup"


def test_columns_after_the_last_stage():
    web = [curator.ReadWarc("x.warc"), curator.ExtractHtml()]
    assert list(check_columns((web[0],))) == ["doc_id", "id", "source", "url", "html"]
    assert list(check_columns(tuple(web))) == ["doc_id", "id", "source", "url", "text"]  # html is dropped
    packed = (READ, curator.Tokenize(vocab_size=300), curator.Pack())
    assert "n_tokens" in check_columns(packed)
    assert "tokens" not in check_columns(packed)


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([READ, curator.ExtractHtml()], r"stage 1 ExtractHtml reads html \(string\).*no such column.*text \(string\)"),
        ([READ, curator.Pack()], r"stage 1 Pack reads tokens \(list<uint32>\)"),
        ([curator.ReadWarc("x"), curator.ExtractHtml(), curator.ExtractHtml()], "stage 2 ExtractHtml reads html"),
        ([READ, READ], "stage 1 ReadJsonl is a reader; a reader comes first"),
        ([curator.FixUnicode(), READ], "stage 1 ReadJsonl is a reader"),
    ],
)
def test_a_stage_that_cannot_follow_is_named_with_what_there_is(stages, words):
    with pytest.raises(ColumnError, match=words):
        Pipeline(stages)


def test_a_column_of_another_type_does_not_fit():
    kept = curator.ReadJsonl("x", keep=("tokens:string",))
    with pytest.raises(ColumnError, match=r"reads tokens \(list<uint32>\), but the stages before it give string"):
        Pipeline([kept, curator.Pack()])


def test_stages_without_a_reader_wait_for_it():
    waiting = curator.Tokenize(vocab_size=300) | curator.Pack()
    assert (READ | waiting).stages[0] == READ
    with pytest.raises(ColumnError, match="reads text"):
        curator.ReadWarc("x.warc") | waiting


def test_one_signal_has_one_owner():
    @dataclass(frozen=True)
    class Mine(Filter):
        reads = {"text": "string"}
        signals = {"n_words": "int64"}
        rules = (at_least("few", "n_words", "n"),)

    @dataclass(frozen=True)
    class Other(Mine):
        signals = {"n_words": "int64"}

    mine, other = Mine(), Other()
    assert Pipeline([READ, mine]).stages[1] is mine
    with pytest.raises(ColumnError, match="Other measures n_words, which Mine measures too"):
        Pipeline([READ, mine, other])
    Pipeline([READ, curator.GopherQuality(), curator.GopherQuality(min_words=3)])  # out of one shared pass
