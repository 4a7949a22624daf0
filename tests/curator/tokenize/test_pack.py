"""Packed shards hold the tokens of every document, and say which is whose."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

import curator
from curator import Pipeline
from curator.errors import SpecError
from millrace import storage, tables
from millrace.megatron_index import read_index
from tests.corpus import documents, write_parts


def packed(folder: Path, records: list[dict[str, Any]], parts: int = 3, **settings: Any) -> Path:
    """Run Tokenize and Pack and return the folder of tokens."""
    glob = write_parts(folder / "in", records, parts)
    pack = curator.Pack(**({"seq_length": 64, "shard_tokens": 5000} | settings))
    Pipeline([curator.ReadJsonl(glob), curator.Tokenize(vocab_size=400), pack]).run(str(folder / "run"), workers=0)
    return folder / "run/tokens"


@pytest.fixture(scope="module")
def records():
    return documents(120, seed=3)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory, records):
    return packed(tmp_path_factory.mktemp("packed"), records)


def manifest(tokens: Path) -> dict[str, Any]:
    return dict(storage.read_json(str(tokens / "manifest.json")))


def pieces(tokens: Path) -> list[tuple[dict[str, Any], np.ndarray]]:
    """Every (row of provenance, its tokens) of all shards."""
    found = []
    for shard in manifest(tokens)["shards"]:
        path = tokens / shard["name"]
        dtype, lengths, pointers, _ = read_index(path.with_suffix(".idx").read_bytes())
        flat = np.fromfile(path.with_suffix(".bin"), dtype)
        for row, length, pointer in zip(
            pq.read_table(path.with_suffix(".parquet")).to_pylist(), lengths, pointers, strict=True
        ):
            start = pointer // dtype.itemsize
            found.append((row, flat[start : start + length]))
    return found


def test_provenance_leads_back_to_the_text_of_every_document(tokens, records):
    tokenizer = Tokenizer.from_file(str(tokens / "tokenizer.json"))
    found: dict[str, dict[int, np.ndarray]] = {}
    for row, ids in pieces(tokens):
        assert len(ids) == row["length"]
        assert row["start"] not in found.setdefault(row["id"], {})
        found[row["id"]][row["start"]] = ids
    assert set(found) == {record["id"] for record in records}
    end = tokenizer.token_to_id("<|endoftext|>")
    for record in records:
        starts = sorted(found[record["id"]])
        whole = np.concatenate([found[record["id"]][start] for start in starts])
        assert starts == np.cumsum([0, *(len(found[record["id"]][s]) for s in starts[:-1])]).tolist()
        assert tokenizer.decode(whole[:-1].tolist(), skip_special_tokens=False) == record["text"]
        assert whole[-1] == end


def test_the_manifest_counts_what_is_there(tokens, records):
    said = manifest(tokens)
    rows = [read_index((tokens / f"{shard['name']}.idx").read_bytes())[3] for shard in said["shards"]]
    lengths = [read_index((tokens / f"{shard['name']}.idx").read_bytes())[1] for shard in said["shards"]]
    assert said["documents"] == len(records)
    assert said["tokens"] == sum(length.sum() for length in lengths) == sum(s["tokens"] for s in said["shards"])
    assert said["rows"] == sum(len(starts) - 1 for starts in rows) == sum(s["rows"] for s in said["shards"])
    assert said["sequences"] == sum(map(len, lengths))
    assert said["fill"] == pytest.approx(said["tokens"] / said["rows"] / 64, abs=1e-6)
    assert said["tokenizer_sha256"] == hashlib.sha256((tokens / "tokenizer.json").read_bytes()).hexdigest()
    per_document: dict[str, int] = {}
    for row, ids in pieces(tokens):
        per_document[row["id"]] = per_document.get(row["id"], 0) + len(ids)
    assert said["documents_cut"] == sum(n > 64 for n in per_document.values()) > 0
    for shard in said["shards"]:
        for ending, kind in ((".bin", "bin"), (".idx", "idx"), (".parquet", "provenance")):
            assert tables.checksum(str(tokens / f"{shard['name']}{ending}")) == shard[kind]


def test_no_row_is_over_the_sequence_length_and_shards_end_where_they_are_full(tokens):
    shards = manifest(tokens)["shards"]
    assert len(shards) > 3
    for shard in shards:
        _, lengths, _, starts = read_index((tokens / f"{shard['name']}.idx").read_bytes())
        filled = np.add.reduceat(lengths, starts[:-1])
        assert filled.max() <= 64
        assert starts[-1] == len(lengths)
    done = np.cumsum([shard["tokens"] for shard in shards])
    assert all(total // 5000 == number + 1 and total % 5000 < 64 for number, total in enumerate(done[:-1].tolist()))


def test_documents_from_all_parts_are_mixed(tokens):
    first = [row["doc_id"] >> 32 for row, _ in pieces(tokens)[:60]]
    assert set(first) == {0, 1, 2}


def test_the_size_of_shards_and_the_cut_of_files_change_no_token(tokens, tmp_path, records):
    stream = np.concatenate([ids for _, ids in pieces(tokens)])
    other = packed(tmp_path, records, parts=5, shard_tokens=100_000_000)
    assert len(manifest(other)["shards"]) == 1
    assert (np.concatenate([ids for _, ids in pieces(other)]) == stream).all()


def test_another_seed_shuffles_otherwise(tokens, tmp_path, records):
    other = packed(tmp_path, records, seed=1)
    here, there = ([row["id"] for row, _ in pieces(place)] for place in (tokens, other))
    assert sorted(here) == sorted(there)
    assert sum(a == b for a, b in zip(here, there)) < len(here) / 10


def test_documents_without_text_are_one_token(tmp_path):
    records = [{"id": f"e{i}", "text": ""} for i in range(5)] + [{"id": "a", "text": "some words"}]
    place = packed(tmp_path, records, parts=1)
    assert {row["id"]: row["length"] for row, _ in pieces(place) if row["id"] != "a"} == {f"e{i}": 1 for i in range(5)}
    assert manifest(place)["documents"] == 6


def test_the_dropped_documents_of_later_stages_are_not_packed(tmp_path, records):
    glob = write_parts(tmp_path / "in", records, 3)
    stages = [
        curator.ReadJsonl(glob),
        curator.ExactDedup(),
        curator.Tokenize(vocab_size=400),
        curator.Pack(seq_length=64),
    ]
    result = Pipeline(stages).run(str(tmp_path / "run"), workers=0)
    kept = {
        id for file in sorted((tmp_path / "run/documents").iterdir()) for id in pq.read_table(file)["id"].to_pylist()
    }
    assert {row["id"] for row, _ in pieces(tmp_path / "run/tokens")} == kept
    assert 0 < result.documents == len(kept) < len(records)


def test_packing_needs_tokens(tmp_path):
    with pytest.raises(TypeError, match=r"Pack reads tokens \(list<uint32>\)"):
        Pipeline([curator.ReadJsonl("x"), curator.Pack()])
    for name in ("seq_length", "shard_tokens"):
        with pytest.raises(SpecError, match=f"Pack.{name} is 0; it must be at least 1"):
            curator.Pack(**{name: 0})
