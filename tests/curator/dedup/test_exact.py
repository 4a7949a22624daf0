"""Exact duplicates: one of each text stays, the first, wherever the copies lie."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

import curator
from curator import Pipeline
from curator.dedup.exact import kept_of_equal
from tests.corpus import documents, write_parts


def run_pipeline(folder, *stages):
    """Return (kept ids, {dropped id: ledger row}) of a pipeline."""
    Pipeline(stages).run(str(folder / "run"), workers=0)
    kept, dropped = (
        [row for file in sorted((folder / "run" / kind).iterdir()) for row in pq.read_table(file).to_pylist()]
        for kind in ("documents", "ledger")
    )
    return [row["id"] for row in kept], {row["id"]: row for row in dropped}


def run(folder, records, parts, *before, **settings):
    """Return (kept ids, {dropped id: ledger row}) of ExactDedup."""
    reader = curator.ReadJsonl(write_parts(folder / "in", records, parts))
    return run_pipeline(folder, reader, *before, curator.ExactDedup(**settings))


@pytest.mark.parametrize("parts", [1, 4])
def test_against_a_dictionary_of_texts(tmp_path, parts):
    records = documents(200, seed=13)
    kept, dropped = run(tmp_path, records, parts)
    first: dict[str, str] = {}
    for record in records:
        first.setdefault(record["text"], record["id"])
    assert kept == list(first.values())
    ids = {row["doc_id"]: row["id"] for row in dropped.values()}
    ids |= {row: id for file in sorted((tmp_path / "run/documents").iterdir())
            for row, id in zip(*(pq.read_table(file)[c].to_pylist() for c in ("doc_id", "id")))}  # fmt: skip
    assert {id: ids[row["witness"]] for id, row in dropped.items()} == {
        record["id"]: first[record["text"]] for record in records if first[record["text"]] != record["id"]
    }


def test_a_copy_in_another_part_goes_with_its_evidence(tmp_path):
    records = [{"id": id, "text": text} for id, text in (("a", "one"), ("b", "two"), ("c", "three"), ("d", "one"))]
    kept, dropped = run(tmp_path, records, 4)
    assert kept == ["a", "b", "c"]
    row = dropped["d"]
    assert (row["stage"], row["reason"], row["witness"], row["similarity"]) == ("ExactDedup", "exact_duplicate", 0, 1.0)
    assert row["doc_id"] == 3 << 32


def test_texts_that_differ_in_one_byte_are_no_duplicates(tmp_path):
    texts = ["text", "text ", "Text", "text\n", "te\u0301xt", "t\u00e9xt", "", " ", "\x00", "\x00\x00"]
    kept, dropped = run(tmp_path, [{"id": str(i), "text": text} for i, text in enumerate(texts)], 2)
    assert kept == [str(i) for i in range(len(texts))]
    assert dropped == {}


def test_empty_texts_are_equal(tmp_path):
    kept, _ = run(tmp_path, [{"id": str(i), "text": ""} for i in range(5)], 3)
    assert kept == ["0"]


def test_a_document_that_a_filter_dropped_is_no_witness(tmp_path):
    """The copies of a document that fell earlier fell earlier too; so none of them is a duplicate of it."""
    records = [{"id": str(i), "text": "too short"} for i in range(4)]
    kept, dropped = run(tmp_path, records, 2, curator.GopherQuality(min_words=5))
    assert kept == []
    assert {row["reason"] for row in dropped.values()} == {"few_words"}


@pytest.mark.parametrize("seed", range(5))
def test_kept_of_equal_against_a_dictionary(seed):
    rng = np.random.default_rng(seed)
    high, low = rng.integers(0, 6, (2, 200)).astype(np.uint64)
    first: dict[tuple[int, int], int] = {}
    wanted = [first.setdefault(pair, row) for row, pair in enumerate(zip(high.tolist(), low.tolist()))]
    assert kept_of_equal(high, low).tolist() == wanted


def test_first_of_nothing_is_nothing():
    assert kept_of_equal(np.zeros(0, np.uint64), np.zeros(0, np.uint64)).tolist() == []


def test_the_smallest_priority_stays_and_of_equals_the_first():
    high, low = np.array([1, 1, 2, 1, 2, 1], np.uint64), np.zeros(6, np.uint64)
    priority = np.array([3, 2, np.inf, 2, -5, np.inf])
    assert kept_of_equal(high, low, priority).tolist() == [1, 1, 4, 1, 4, 1]


def texts(*said: str) -> list[dict]:
    return [{"id": str(i), "text": text, "url": f"http://e.org/{i}"} for i, text in enumerate(said)]


def test_space_normalised(tmp_path):
    records = texts("a b", " a\t\xa0b\r\n", "ab", "A b", "", " \u3000")
    assert run(tmp_path, records, 2, normalise="space")[0] == ["0", "2", "3", "4"]


def test_words_normalised(tmp_path):
    records = texts("One, two", "ONE two!", "one two three", "!!", "??", "!!", "", "\u4e2d\u6587", "\u4e2d\u6587\u3002")
    assert run(tmp_path, records, 2, normalise="words")[0] == ["0", "2", "3", "4", "6", "7"]


def test_urls_normalised(tmp_path):
    urls = ["http://e.org/a?utm_source=x", "https://www.e.org/a/", "http://e.org/A", "", "", "  ", "no url", "no url"]
    records = [{"id": str(i), "text": f"text {i}", "url": url} for i, url in enumerate(urls)]
    kept, dropped = run(tmp_path, records, 3, column="url", normalise="url")
    assert kept == ["0", "2", "3", "4", "5", "6"]
    assert {id: row["witness"] & 0xFFFFFFFF for id, row in dropped.items()} == {"1": 0, "7": 0}


def test_missing_values_of_another_column_are_nobodys_duplicates(tmp_path):
    from tests.corpus import write_jsonl

    records = [{"id": str(i), "text": "same", "key": key} for i, key in enumerate([None, "", None, "k", "k", ""])]
    reader = curator.ReadJsonl(str(write_jsonl(tmp_path / "in.jsonl", records)), keep=("key:string",))
    assert run_pipeline(tmp_path, reader, curator.ExactDedup(column="key"))[0] == ["0", "1", "2", "3", "5"]


def test_a_column_before_there_is_text(tmp_path):
    """A crawl is deduplicated by URL before its pages are extracted; the report shows what there is."""
    from curator.report import write_report
    from tests.curator.read.test_warc import _record, _response

    urls = ["http://e.org/a", "http://e.org/b", "https://e.org/a?utm_source=x"]
    (tmp_path / "in.warc").write_bytes(b"".join(_record(_response(), url=url) for url in urls))
    reader = curator.ReadWarc(str(tmp_path / "in.warc"))
    kept, dropped = run_pipeline(tmp_path, reader, curator.ExactDedup(column="url", normalise="url"))
    assert (len(kept), [row["url"] for row in dropped.values()]) == (2, urls[2:])
    write_report(str(tmp_path / "run"))
    assert "exact_duplicate" in (tmp_path / "run/report.html").read_text()
