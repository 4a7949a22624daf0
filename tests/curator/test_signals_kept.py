"""What signals/ holds of every document that entered a filter: all that rules decide on, and its length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curator
from curator import Pipeline
from curator.errors import ColumnError
from curator.stage import Filter, Mapper, Pass, at_least
from tests.corpus import documents, write_jsonl


@dataclass(frozen=True)
class LongUrl(Filter):
    """Decides on the URL, before there is text."""

    min_url: int = 5

    reads: ClassVar = {"url": "string"}
    signals: ClassVar = {"url_characters": "int64"}
    rules: ClassVar = (at_least("short_url", "url_characters", "min_url"),)

    def measure(self, frame):
        from curator import kernels

        return kernels.text_length(frame["url"]).rename(columns={"characters": "url_characters"})


@dataclass(frozen=True)
class Untext(Mapper):
    """Puts texts aside as `html`: a document as it is before extraction."""

    reads: ClassVar = {"text": "string"}
    writes: ClassVar = {"html": "string"}
    drops: ClassVar = ("text",)

    def map(self, frame):
        return frame.assign(html=frame["text"])


@dataclass(frozen=True)
class Retext(Mapper):
    """Gives the texts back, one character longer."""

    reads: ClassVar = {"html": "string"}
    writes: ClassVar = {"text": "string"}

    def map(self, frame):
        return frame.assign(text=frame["html"] + "!")


def signals(folder) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted((folder / "signals").iterdir())])


def test_length_and_language_of_every_document_are_kept(tmp_path):
    records = documents(60)
    path = write_jsonl(tmp_path / "in.jsonl", records)
    read = curator.ReadJsonl(str(path))
    Pipeline([read, curator.IdentifyLanguage(keep=("en",), min_score=0.3), curator.GopherQuality()]).run(
        str(tmp_path / "run"), workers=0
    )
    kept = signals(tmp_path / "run")
    assert kept["document_characters"].to_pylist() == [len(record["text"]) for record in records]
    languages = kept["lang"].to_pylist()
    assert None not in languages
    assert {"en", "de", "und"} <= set(languages)


def test_length_is_that_at_the_first_filter_that_met_a_text(tmp_path):
    records = documents(60)
    for record in records[::5]:
        record["url"] = "x"
    path = write_jsonl(tmp_path / "in.jsonl", records)
    read = curator.ReadJsonl(str(path))
    edited = (curator.FixUnicode(), curator.ExactDedup(column="url"), curator.GopherQuality())
    Pipeline([read, Untext(), LongUrl(), Retext(), curator.GopherRepetition(), *edited]).run(
        str(tmp_path / "run"), workers=0
    )
    kept = signals(tmp_path / "run")
    wanted = [None if len(record["url"]) < 5 else len(record["text"]) + 1 for record in records]
    assert kept["document_characters"].to_pylist() == wanted
    assert kept.column_names.count("document_characters") == 1


def test_length_at_a_later_filter_where_the_segment_before_had_no_text(tmp_path):
    records = documents(40)
    path = write_jsonl(tmp_path / "in.jsonl", records)
    first = (curator.ReadJsonl(str(path)), Untext(), LongUrl(), curator.ExactDedup(column="url"))
    Pipeline([*first, Retext(), curator.GopherQuality()]).run(str(tmp_path / "run"), workers=0)
    assert signals(tmp_path / "run")["document_characters"].to_pylist() == [len(r["text"]) + 1 for r in records]


def test_no_stage_may_measure_what_a_run_keeps_by_itself():
    @dataclass(frozen=True)
    class Length(Filter):
        """Takes the name."""

        reads: ClassVar = {"text": "string"}
        signals: ClassVar = {"document_characters": "int64"}
        shared_pass: ClassVar = Pass("text_length")

    with pytest.raises(ColumnError, match="which every run keeps by itself"):
        Pipeline([curator.ReadJsonl("x"), Length()])
