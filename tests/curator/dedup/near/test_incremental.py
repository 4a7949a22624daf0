"""A new batch against the index of the old ones leaves what one run over all of them would."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curator
from curator import Pipeline
from curator.dedup.near import fit
from curator.dedup.near.limits import Limits
from curator.errors import DedupIndexError, SpecError
from millrace import storage, tables
from millrace.errors import ConfigError
from tests.corpus import write_parts
from tests.curator.dedup.near.test_scale import by_rule, families, sketched
from tests.curator.kernels.specification import jaccard

SETTINGS: dict[str, Any] = {"jaccard": 0.7, "bands": 8, "rows": 2, "width": 3}


def batch(folder: Path, records: list[dict[str, Any]], stage: curator.FuzzyDedup, *more: Any) -> Path:
    """Run one batch; return the run's folder."""
    glob = write_parts(folder / "in", records, 3)
    Pipeline([curator.ReadJsonl(glob), stage, *more]).run(str(folder / "run"), workers=0)
    return folder / "run"


def rows(run: Path, kind: str) -> list[dict[str, Any]]:
    return pa.concat_tables([pq.read_table(p) for p in sorted((run / kind).iterdir())]).to_pylist()


def decisions(runs: list[Path]) -> dict[str, tuple[str, float]]:
    """Return {id: (id of the witness, similarity)} over several runs."""
    uids = [storage.read_json(str(run / "run.json"))["run_uid"] for run in runs]
    ids = {
        (uid, row["doc_id"]): row["id"]
        for uid, run in zip(uids, runs)
        for row in rows(run, "documents") + rows(run, "ledger")
    }
    return {
        row["id"]: (ids[row["witness_run"] or uid, row["witness"]], row["similarity"])
        for uid, run in zip(uids, runs)
        for row in rows(run, "ledger")
    }


@pytest.mark.parametrize("limits", [Limits(), Limits(400, 20_000, 0)])
@pytest.mark.parametrize(("cap", "kind", "keep"), [(1000, "fingerprints", "first"), (2, "text", "longest")])
@pytest.mark.parametrize("seed", [0, 1])
def test_batches_one_after_the_other_equal_one_run(tmp_path, monkeypatch, seed, cap, kind, keep, limits):
    monkeypatch.setattr(fit, "LIMITS", limits)
    records = families(seed, 180)
    batches = [records[:70], records[70:130], records[130:]]
    stage = curator.FuzzyDedup(**SETTINGS, max_bucket=cap, index=kind, keep=keep)
    runs: list[Path] = []
    for number, some in enumerate(batches):
        stage = curator.FuzzyDedup(
            **SETTINGS, max_bucket=cap, index=kind, keep=keep, against=tuple(str(run) for run in runs)
        )
        runs.append(batch(tmp_path / str(number), some, stage))
    sizes = {"first": lambda i: 0, "longest": lambda i: -len(records[i]["text"])}[keep]
    order = sorted(range(180), key=lambda i: ((i >= 70) + (i >= 130), sizes(i), i))
    assert decisions(runs) == by_rule(records, stage, order)
    assert any(row["witness_run"] for row in rows(runs[2], "ledger"))


def test_only_against_cleans_of_a_protected_set_and_leaves_the_rest_alone(tmp_path):
    records = families(4, 120)
    protected = batch(tmp_path / "a", records[:60], curator.FuzzyDedup(**SETTINGS, within=False, index="fingerprints"))
    assert rows(protected, "ledger") == []
    clean = batch(tmp_path / "b", records[60:], curator.FuzzyDedup(**SETTINGS, within=False, against=(str(protected),)))
    alone = batch(tmp_path / "c", records[60:], curator.FuzzyDedup(**SETTINGS))
    gone = rows(clean, "ledger")
    uid = storage.read_json(str(protected / "run.json"))["run_uid"]
    assert gone
    assert {row["witness_run"] for row in gone} == {uid}
    assert {row["id"] for row in rows(alone, "ledger")} - {row["id"] for row in gone}  # copies of each other stay
    # every document near to any protected one is gone, those that are copies of each other counting each
    keys, sets = sketched(records, curator.FuzzyDedup(**SETTINGS))
    near = {
        row["id"]
        for i, row in enumerate(records[60:], 60)
        if any((keys[i] == keys[old]).any() and jaccard(sets[i], sets[old]) >= 0.7 for old in range(60))
    }
    assert near == {row["id"] for row in gone}


def test_documents_dropped_later_are_witnesses_unless_that_is_refused(tmp_path):
    text = " ".join(f"word{i}" for i in range(60))  # GopherQuality drops it: no stop words
    old = [{"id": "old", "text": text}, {"id": "other", "text": "the of and to " * 20 + "in that is was for it with"}]
    stage = curator.FuzzyDedup(**SETTINGS, index="fingerprints")
    first = batch(tmp_path / "a", old, stage, curator.GopherQuality(min_words=5))
    assert "old" in {row["id"] for row in rows(first, "ledger")}
    new = [{"id": "new", "text": text}]
    kept = {
        later: len(
            rows(
                batch(
                    tmp_path / str(later),
                    new,
                    curator.FuzzyDedup(**SETTINGS, against=(str(first),), dropped_later=later),
                ),
                "documents",
            )
        )
        for later in (True, False)
    }
    assert kept == {True: 0, False: 1}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexed")
    return batch(folder, families(5, 40), curator.FuzzyDedup(**SETTINGS, index="fingerprints"))


def refused(tmp_path, index: Path, **settings: Any) -> str:
    stage = curator.FuzzyDedup(**SETTINGS | settings, against=(str(index),))
    with pytest.raises(DedupIndexError) as error:
        batch(tmp_path / "new", families(5, 20), stage)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_index_of_other_settings_is_refused_by_name(tmp_path, indexed):
    assert "was made with width 3 (here 4)" in refused(tmp_path, indexed, width=4)


def test_an_index_of_another_format_is_refused(tmp_path, indexed):
    copy = Path(shutil.copytree(indexed, tmp_path / "copy"))
    manifest = copy / "index/manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 99}))
    assert "is of format 99; this version reads format 1" in refused(tmp_path, copy)


@pytest.mark.parametrize("name", ["part-00001.sketch.arrow", "part-00001.shingles.arrow"])
def test_a_truncated_index_file_is_named_and_not_used(tmp_path, indexed, name):
    copy = Path(shutil.copytree(indexed, tmp_path / "copy"))
    file = copy / "index" / name
    file.write_bytes(file.read_bytes()[:-100])
    said = refused(tmp_path, copy)
    assert name in said
    assert "truncated" in said


@pytest.mark.parametrize("name", ["part-00001.sketch.arrow", "part-00001.shingles.arrow"])
def test_a_damaged_index_file_is_named_and_not_used(tmp_path, indexed, name):
    copy = Path(shutil.copytree(indexed, tmp_path / "copy"))
    file = copy / "index" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    said = refused(tmp_path, copy)
    assert name in said
    assert "damaged" in said


def test_a_missing_index_says_how_to_make_one(tmp_path):
    assert "holds no index" in refused(tmp_path, tmp_path / "nowhere")


def test_an_index_whose_text_is_gone_says_so(tmp_path):
    made = batch(tmp_path / "a", families(5, 40), curator.FuzzyDedup(**SETTINGS, index="text"))
    shutil.rmtree(made / "work")
    assert "needs the text of its run" in refused(tmp_path, made)


def test_the_index_holds_what_the_stage_kept(indexed):
    ids = {
        row["doc_id"]
        for name in storage.list_folder(str(indexed / "index"))
        if "sketch" in name
        for row in tables.read_table(str(indexed / "index" / name)).to_pylist()
    }
    assert ids == {row["doc_id"] for row in rows(indexed, "documents")}


def test_a_run_is_not_held_against_itself(tmp_path, indexed):
    copy = Path(shutil.copytree(indexed, tmp_path / "run"))
    stage = curator.FuzzyDedup(**SETTINGS, index="fingerprints", against=(str(copy),))
    with pytest.raises(DedupIndexError, match="the run itself; name runs before it"):
        batch(tmp_path, families(5, 40), stage)
    assert (copy / "index/manifest.json").exists()


def test_two_stages_cannot_leave_an_index_in_one_run():
    stage = curator.FuzzyDedup(index="text")
    with pytest.raises(SpecError, match="FuzzyDedup and FuzzyDedup both write index/ of the run"):
        Pipeline([curator.ReadJsonl("x.jsonl"), stage, stage])


def test_old_documents_beyond_the_cap_are_said_also_where_only_they_count(tmp_path, capsys):
    old = [{"id": f"old{i}", "text": f"common {' '.join(f'own{i}x{j}' for j in range(4))}"} for i in range(5)]
    new = [{"id": "new", "text": old[4]["text"] + " common"}]
    settings = {"jaccard": 0.9, "bands": 64, "rows": 1, "width": 1, "within": False}
    first = batch(tmp_path / "a", old, curator.FuzzyDedup(**settings, index="fingerprints"))
    keys, _ = sketched([*old, *new], curator.FuzzyDedup(**settings))
    assert max((keys[:5, band] == keys[5, band]).sum() for band in range(64)) > 2
    reader = curator.ReadJsonl(write_parts(tmp_path / "b", new, 1))
    for cap in (2, 1000):
        stage = curator.FuzzyDedup(**settings, against=str(first), max_bucket=cap)
        Pipeline([reader, stage]).run(str(tmp_path / f"run-{cap}"), workers=0, quiet=False)
        assert ("buckets hold more than 2 kept documents" in capsys.readouterr().err) == (cap == 2)


def test_what_the_old_run_decides_later_counts_where_it_is_asked_for(tmp_path):
    """A filter of the old run changes, its index does not: what was dropped there is no witness any more."""
    text = "the of and to in that " + " ".join(f"word{i}" for i in range(40))
    old = curator.ReadJsonl(write_parts(tmp_path / "old", [{"id": "old", "text": text}], 1))
    new = curator.ReadJsonl(write_parts(tmp_path / "new", [{"id": "new", "text": text}], 1))
    kept = []
    for min_words in (5, 99):
        quality = curator.GopherQuality(min_words=min_words)
        first = Pipeline([old, curator.FuzzyDedup(index="fingerprints"), quality])
        assert first.run(str(tmp_path / "a"), workers=0).documents == (min_words == 5)
        later = curator.FuzzyDedup(against=str(tmp_path / "a"), dropped_later=False)
        kept.append(Pipeline([new, later]).run(str(tmp_path / "b"), workers=0).documents)
    assert kept == [0, 1]


def test_components_and_an_index_do_not_go_together():
    with pytest.raises(SpecError, match="an index holds no removed documents"):
        curator.FuzzyDedup(cluster="components", against=("x",))


def test_settings_are_checked_in_python_as_in_yaml():
    for settings, said in (({"cluster": "comp"}, "cluster is 'comp'"), ({"bands": 2.5}, "bands is 2.5")):
        with pytest.raises(ConfigError, match=said):
            Pipeline([curator.ReadJsonl("x.jsonl"), curator.FuzzyDedup(**settings)])
