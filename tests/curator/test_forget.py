"""A forgotten document leaves a run as if it had never been read, but for its ledger row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curator
from curator import Pipeline
from curator.errors import InputError
from curator.run.forget import read_ids
from millrace import storage, tables
from tests.corpus import documents, write_parts


def pipeline(glob: str, **settings: Any) -> Pipeline:
    stages = [curator.ReadJsonl(glob), curator.ExactDedup(), curator.FuzzyDedup(index="fingerprints", **settings)]
    return Pipeline([*stages, curator.Tokenize(vocab_size=300), curator.Pack(seq_length=64)])


def decided(folder: Path) -> dict[str, Any]:
    """Return what a run holds, by id, for doc_ids shift where rows are missing."""
    kept = pa.concat_tables([pq.read_table(p) for p in sorted((folder / "documents").iterdir())]).to_pylist()
    gone = pa.concat_tables([pq.read_table(p) for p in sorted((folder / "ledger").iterdir())]).to_pylist()
    ids = {row["doc_id"]: row["id"] for row in kept + gone}
    index = [
        ids[doc_id]
        for name in storage.list_folder(str(folder / "index"))
        if "sketch" in name
        for doc_id in tables.read_table(str(folder / "index" / name))["doc_id"].to_pylist()
    ]
    return {
        "kept": {row["id"]: row["text"] for row in kept},
        "gone": {r["id"]: (r["stage"], ids[r["witness"]]) for r in gone if r["reason"] != "forgotten"},
        "index": sorted(index),
    }


def test_a_run_that_forgets_is_one_over_the_input_without(tmp_path):
    records = documents(90, seed=2)
    glob = write_parts(tmp_path / "in", records, 3)
    pipeline(glob, jaccard=0.7).run(str(tmp_path / "run"), workers=0)  # other settings: their checkpoints go too
    pipeline(glob).run(str(tmp_path / "run"), workers=0)
    before = decided(tmp_path / "run")
    witness = next(by for _, by in before["gone"].values())
    named = [witness, next(id for id in before["kept"] if id != witness)]
    texts = [r["text"] for r in records if r["id"] in named]

    result = pipeline(glob).run(str(tmp_path / "run"), workers=0, forget=named)
    left = [record for record in records if record["id"] not in named]
    pipeline(write_parts(tmp_path / "less", left, 1)).run(str(tmp_path / "other"), workers=0)
    after = decided(tmp_path / "run")
    assert after == decided(tmp_path / "other")
    assert after != before
    ledger = pa.concat_tables([pq.read_table(p) for p in sorted((tmp_path / "run/ledger").iterdir())]).to_pylist()
    rows = {row["id"]: row for row in ledger if row["reason"] == "forgotten"}
    assert set(rows) == set(named)
    assert {row["url"] for row in rows.values()} == {""}
    assert result.summary["read"] == len(records)
    for path in (tmp_path / "run").rglob("*.parquet"):  # no checkpoint holds the text any more
        table = pq.read_table(path)
        if "text" in table.column_names:
            assert not {t for t in table["text"].to_pylist() if t in texts and t not in {r["text"] for r in left}}


def test_it_stays_forgotten_and_other_parts_are_not_run_again(tmp_path):
    records = documents(60, seed=3)
    glob = write_parts(tmp_path / "in", records, 3)
    pipeline(glob).run(str(tmp_path / "run"), workers=0)
    files = sorted((tmp_path / "run/work").glob("segment-0-*/documents/*.parquet"))
    times = [file.stat().st_mtime_ns for file in files]
    pipeline(glob).run(str(tmp_path / "run"), workers=0, forget=["doc-00001"])
    again = [file.stat().st_mtime_ns for file in files]
    assert [a == b for a, b in zip(times, again)] == [False, True, True]
    pipeline(glob).run(str(tmp_path / "run"), workers=0)
    assert [file.stat().st_mtime_ns for file in files] == again
    assert "doc-00001" not in decided(tmp_path / "run")["kept"]


def test_a_file_of_ids_that_says_nothing_is_refused(tmp_path):
    (tmp_path / "ids").write_text("\n \n")
    with pytest.raises(InputError, match="is empty; it must name documents to forget, one id a line"):
        read_ids(str(tmp_path / "ids"))
    (tmp_path / "ids").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_ids(str(tmp_path / "ids"))
    (tmp_path / "ids").write_text("a\n\n  b \n")
    assert read_ids(str(tmp_path / "ids")) == ["a", "  b "]


def test_a_run_that_was_cut_short_forgets_too(tmp_path, monkeypatch):
    records = documents(40, seed=4)
    glob = write_parts(tmp_path / "in", records, 2)
    named = records[0]["id"]

    def killed(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(curator.FuzzyDedup, "fit", killed)
        with pytest.raises(KeyboardInterrupt):
            pipeline(glob).run(str(tmp_path / "run"), workers=0)
    pipeline(glob).run(str(tmp_path / "run"), workers=0, forget=[named])
    assert named not in decided(tmp_path / "run")["kept"]


def test_ids_that_nobody_has_are_said(tmp_path, capsys):
    glob = write_parts(tmp_path / "in", documents(20, seed=4), 1)
    pipeline(glob).run(str(tmp_path / "run"), workers=0)
    pipeline(glob).run(str(tmp_path / "run"), workers=0, forget=["doc-00001", "doc-0000x"], quiet=False)
    assert "1 of the 2 ids to forget are in no part read so far: doc-0000x" in capsys.readouterr().err


def test_an_index_that_is_not_asked_for_any_more_goes(tmp_path):
    glob = write_parts(tmp_path / "in", documents(20, seed=4), 1)
    for index, there in (("text", True), ("none", False)):
        Pipeline([curator.ReadJsonl(glob), curator.FuzzyDedup(index=index)]).run(str(tmp_path / "run"), workers=0)
        assert (tmp_path / "run/index").exists() == there
