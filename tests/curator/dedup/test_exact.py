"""Exact duplicates: one of each text stays, the first, wherever the copies lie."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

import curator
from curator import Pipeline
from curator.dedup.exact import first_of_equal
from tests.corpus import documents, write_parts


def run(folder, records, parts, *before):
    """Return (kept ids, {dropped id: ledger row}) of ExactDedup."""
    glob = write_parts(folder / "in", records, parts)
    Pipeline([curator.ReadJsonl(glob), *before, curator.ExactDedup()]).run(str(folder / "run"), workers=0)
    kept, dropped = (
        [row for file in sorted((folder / "run" / kind).iterdir()) for row in pq.read_table(file).to_pylist()]
        for kind in ("documents", "ledger")
    )
    return [row["id"] for row in kept], {row["id"]: row for row in dropped}


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
def test_first_of_equal_against_a_dictionary(seed):
    rng = np.random.default_rng(seed)
    high, low = rng.integers(0, 6, (2, 200)).astype(np.uint64)
    first: dict[tuple[int, int], int] = {}
    wanted = [first.setdefault(pair, row) for row, pair in enumerate(zip(high.tolist(), low.tolist()))]
    assert first_of_equal(high, low).tolist() == wanted


def test_first_of_nothing_is_nothing():
    assert first_of_equal(np.zeros(0, np.uint64), np.zeros(0, np.uint64)).tolist() == []
