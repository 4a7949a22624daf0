"""Keep policies: what may be said, and who stays."""

from __future__ import annotations

import pytest

import curator
from curator import Pipeline
from curator.dedup.policy import Policy, parse
from curator.errors import ColumnError, SpecError
from tests.corpus import write_jsonl
from tests.curator.dedup.test_exact import run_pipeline

READ = curator.ReadJsonl("x.jsonl", keep=("score:float64", "stars:int64", "kind:string"))


@pytest.mark.parametrize(
    ("keep", "policy"),
    [
        ("first", Policy("first")),
        ("longest", Policy("longest")),
        ("best:score", Policy("best", "score")),
        ("best: score ", Policy("best", "score")),
        ("source:a, b", Policy("source", sources=("a", "b"))),
    ],
)
def test_what_may_be_said(keep, policy):
    assert parse("ExactDedup", keep) == policy


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ("longst", r"ExactDedup.keep is 'longst'; it must be one of first, longest, best:.*Did you mean longest\?"),
        ("first:x", "must be one of"),
        ("best", "must be one of"),
        ("best:", "must be one of"),
        ("source:", "must be one of"),
        ("source:a,,b", "must be one of"),
        ("source:a,b,a", "it names a twice"),
        ("", "must be one of"),
    ],
)
def test_what_may_not(keep, words):
    with pytest.raises(SpecError, match=words):
        curator.ExactDedup(keep=keep)


def test_a_column_or_signal_to_rank_by_must_be_there():
    for keep in ("best:score", "best:stars"):
        Pipeline([READ, curator.ExactDedup(keep=keep)])
    Pipeline([READ, curator.GopherQuality(), curator.ExactDedup(keep="best:nonsymbol_words")])
    Pipeline([READ, curator.LineDedup(), curator.ExactDedup(keep="best:line_cut_share")])
    for stages, words in (
        ([curator.ExactDedup(keep="best:scor")], r"stage 1 ExactDedup ranks documents by scor.*Did you mean score\?"),
        ([curator.ExactDedup(keep="best:kind")], r"by kind, .*Available: score, stars"),
        (
            [curator.ExactDedup(keep="best:nonsymbol_words"), curator.GopherQuality()],
            "by nonsymbol_words, which is neither",
        ),
        ([curator.LineDedup(), curator.ExactDedup(keep="best:line_cut_starts")], "neither a column of numbers"),
    ):
        with pytest.raises(ColumnError, match=words):
            Pipeline([READ, *stages])


def kept(tmp_path, records, keep, *before, reader=None):
    path = write_jsonl(tmp_path / "in.jsonl", records)
    reader = reader or curator.ReadJsonl(str(path), keep=("score:float64",))
    return run_pipeline(tmp_path, reader, *before, curator.ExactDedup(column="url", keep=keep))


RECORDS = [
    {"id": "a", "url": "u", "text": "one two", "score": 1.0},
    {"id": "b", "url": "u", "text": "one two three four five", "score": None},
    {"id": "c", "url": "u", "text": "one", "score": 3.0},
    {"id": "d", "url": "u", "text": "three two one go away!!", "score": 3.0},
]


@pytest.mark.parametrize(("keep", "who"), [("first", "a"), ("longest", "b"), ("best:score", "c")])
def test_who_stays(tmp_path, keep, who):
    alive, gone = kept(tmp_path, RECORDS, keep)
    assert alive == [who]
    place = [record["id"] for record in RECORDS].index(who)
    assert {row["witness"] for row in gone.values()} == {place}


def test_a_signal_of_a_filter_before_ranks(tmp_path):
    quality = curator.GopherQuality(min_words=2, min_stop_words=0)
    alive, gone = kept(tmp_path, RECORDS, "best:nonsymbol_words", quality)
    assert alive == ["b"]  # five words, as d, which comes later
    assert {id: row["reason"] for id, row in gone.items()} == {
        "a": "exact_duplicate", "c": "few_words", "d": "exact_duplicate",
    }  # fmt: skip


def test_a_signal_of_an_earlier_pass_ranks(tmp_path):
    quality = curator.GopherQuality(min_words=2, min_stop_words=0)
    alive, _ = kept(tmp_path, RECORDS, "best:nonsymbol_words", quality, curator.ExactDedup(), curator.FixUnicode())
    assert alive == ["b"]


def test_none_of_a_group_has_a_value(tmp_path):
    alive, _ = kept(tmp_path, [{**record, "score": None} for record in RECORDS], "best:score")
    assert alive == ["a"]


def test_sources_in_order(tmp_path):
    for name, record in zip("pqrs", RECORDS):
        write_jsonl(tmp_path / f"{name}.jsonl", [record])
    reader = curator.ReadJsonl({name: str(tmp_path / f"{name}.jsonl") for name in "pqrs"})
    alive, _ = kept(tmp_path, RECORDS, "source:r,q", reader=reader)
    assert alive == ["c"]
    alive, _ = kept(tmp_path / "2", RECORDS, "source:zz,s", reader=reader)
    assert alive == ["d"]


def test_a_source_that_is_not_there_is_told(tmp_path, capsys):
    path = write_jsonl(tmp_path / "in.jsonl", RECORDS)
    pipeline = Pipeline([curator.ReadJsonl(str(path), source="web"), curator.ExactDedup(keep="source:wbe")])
    pipeline.run(str(tmp_path / "run"), workers=0, quiet=False)
    said = "".join(capsys.readouterr())
    assert "no document comes from source wbe. Did you mean web?" in said
