"""Crowded buckets, guards, and the mode of the peers."""

from __future__ import annotations

import time
from typing import Any

import pytest

import curator
from curator import Pipeline
from curator.dedup import fuzzy
from curator.dedup.near.limits import Limits
from curator.errors import LossError, SpecError
from tests.corpus import write_jsonl, write_parts
from tests.curator.dedup.near.test_scale import families, run, sketched
from tests.curator.kernels.specification import jaccard

SETTINGS: dict[str, Any] = {"jaccard": 0.7, "bands": 8, "rows": 2, "width": 3}


def components(records, stage, threshold: float) -> dict[str, str]:
    """Return {id: first id of its component} of pairs in one bucket with at least this similarity, in plain Python."""
    keys, sets = sketched(records, stage)
    first = list(range(len(records)))
    for i in range(len(records)):
        for j in range(i):
            if (keys[i] == keys[j]).any() and jaccard(sets[i], sets[j]) >= threshold:
                a, b = first[i], first[j]
                first = [min(a, b) if f in (a, b) else f for f in first]
    return {records[i]["id"]: records[f]["id"] for i, f in enumerate(first) if f != i}


@pytest.mark.parametrize("limits", [Limits(), Limits(400, 20_000, 0)])
@pytest.mark.parametrize("verify", [True, False])
def test_components_mode_keeps_the_first_of_each_component(tmp_path, monkeypatch, verify, limits):
    monkeypatch.setattr(fuzzy, "LIMITS", limits)
    records = families(1)
    stage = curator.FuzzyDedup(**SETTINGS, cluster="components", verify=verify)
    found = run(tmp_path, records, stage)
    assert {id: witness for id, (witness, _) in found.items()} == components(records, stage, 0.7 if verify else 0.0)
    assert all((similarity is None) != verify for _, similarity in found.values())
    witnessed = run(tmp_path / "rule", records, curator.FuzzyDedup(**SETTINGS))
    assert len(found) > len(witnessed)  # chains: what the witness rule does not follow


def test_what_rests_on_proof_cannot_go_unverified():
    with pytest.raises(SpecError, match="the witness rule rests on proof; set cluster: components"):
        curator.FuzzyDedup(verify=False)


def near_copies(count: int, source: str) -> list[dict[str, Any]]:
    text = " ".join(f"word{i}" for i in range(60))
    return [{"id": f"{source}-{i}", "text": f"{text} end{i % 7}"} for i in range(count)]


def test_a_source_that_would_lose_too_much_stops_the_run_unless_allowed(tmp_path):
    alike = write_jsonl(tmp_path / "alike.jsonl", near_copies(1200, "alike"))
    mixed = write_jsonl(tmp_path / "mixed.jsonl", families(2, 60))
    path = {"alike": str(alike), "mixed": str(mixed)}

    def kept(**settings: Any) -> int:
        stage = curator.FuzzyDedup(**SETTINGS | settings)
        return Pipeline([curator.ReadJsonl(path), stage]).run(str(tmp_path / "run"), workers=0).documents

    with pytest.raises(LossError) as error:
        kept()
    said = str(error.value)
    assert "would remove 1,199 of the 1,200 documents of source alike (99.9%), more than max_source_loss 0.9" in said
    assert "most of them 1,199 for doc_id 0" in said
    assert "FuzzyDedup.allow_loss=[alike]" in said
    allowed = kept(allow_loss="alike")
    assert allowed == kept(max_source_loss=1.0) < 61


def test_a_small_source_is_not_judged(tmp_path):
    assert len(run(tmp_path, near_copies(900, "few"), curator.FuzzyDedup(**SETTINGS))) == 899


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_identical_documents_in_any_number_are_linear_work(tmp_path, count):
    path = write_jsonl(
        tmp_path / "in.jsonl", [{"id": str(i), "text": "one and the same short text again"} for i in range(count)]
    )
    stage = curator.FuzzyDedup(max_source_loss=1.0)
    began = time.process_time()
    result = Pipeline([curator.ReadJsonl(str(path)), stage]).run(str(tmp_path / "run"), workers=0)
    assert result.documents == 1
    assert time.process_time() - began < 20 + count / 10_000


def test_a_bucket_with_every_document_in_it_is_capped_and_said(tmp_path, capsys):
    """One band of one value over single words: all share the word they begin with."""
    records = [{"id": str(i), "text": f"common {' '.join(f'own{i}x{j}' for j in range(4))}"} for i in range(3000)]
    glob = write_parts(tmp_path / "in", records, 2)
    stage = curator.FuzzyDedup(jaccard=0.9, bands=64, rows=1, width=1, max_bucket=50)
    began = time.process_time()
    result = Pipeline([curator.ReadJsonl(glob), stage]).run(str(tmp_path / "run"), workers=0, quiet=False)
    assert result.documents == 3000
    assert "buckets hold more than 50 kept documents" in capsys.readouterr().err
    assert time.process_time() - began < 30


def test_one_token_a_million_times_is_one_shingle(tmp_path):
    records = [{"id": str(i), "text": "again " * n} for i, n in enumerate((1_000_000, 999_999, 5, 4))]
    found = run(tmp_path, records, curator.FuzzyDedup(), parts=1)
    assert found == {"1": ("0", 1.0), "2": ("0", 1.0)}  # four words are a shingle of four


def test_text_without_spaces_is_compared_by_characters_if_asked(tmp_path):
    clauses = [
        "春天来了万物复苏",
        "河水慢慢地流过山谷",
        "孩子们在田野里奔跑",
        "老人坐在门前晒太阳",
        "远处传来阵阵钟声",
        "炊烟从屋顶升起",
    ]
    text = "，".join(clauses * 3)
    changed = text.replace("老人", "女人", 1)
    records = [{"id": "a", "text": text}, {"id": "b", "text": changed}]
    assert run(tmp_path / "words", records, curator.FuzzyDedup(), parts=1) == {}  # few shingles, each of five clauses
    by_characters = curator.FuzzyDedup(shingles="characters", width=5)
    found = run(tmp_path / "characters", records, by_characters, parts=1)
    assert set(found) == {"b"}


def test_ids_that_repeat_are_documents_of_their_own(tmp_path):
    records = families(7, 40)
    expected = dropped_by_place(tmp_path / "1", records)
    for record in records:
        record["id"] = "same"
    assert dropped_by_place(tmp_path / "2", records) == expected


def dropped_by_place(folder, records) -> list[int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    run_all(folder, records)
    tables = [pq.read_table(p) for p in sorted((folder / "run/ledger").iterdir())]
    return pa.concat_tables(tables)["doc_id"].to_pylist()


def run_all(folder, records) -> None:
    glob = write_parts(folder / "in", records, 2)
    Pipeline([curator.ReadJsonl(glob), curator.FuzzyDedup(**SETTINGS)]).run(str(folder / "run"), workers=0)
