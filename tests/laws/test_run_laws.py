"""Laws of whole runs: nothing is lost, and the same input gives the same bytes however the run went."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curator
import curator.errors
from curator import Pipeline
from millrace import storage
from tests import strict_cudf
from tests.corpus import documents, write_jsonl, write_parts

RESULTS = ("documents", "ledger", "signals", "tokens")


def text_pipeline(path: str) -> Pipeline:
    """Every stage of the text recipe, small."""
    return Pipeline(
        [
            curator.ReadJsonl(path),
            curator.FixUnicode(),
            curator.IdentifyLanguage(keep=("en",), min_score=0.3),
            curator.GopherQuality(min_stop_words=1),
            curator.GopherRepetition(),
            curator.ExactDedup(),
            curator.FuzzyDedup(),
            curator.Tokenize(vocab_size=400),
            curator.Pack(seq_length=128, shard_tokens=10_000),
        ]
    )


def interleaved_pipeline(path: str) -> Pipeline:
    """Corpus stages with filters and writers of text between them: more segments than usual."""
    return Pipeline(
        [
            curator.ReadJsonl(path),
            curator.ExactDedup(),
            curator.GopherRepetition(),
            curator.FuzzyDedup(keep="longest"),
            curator.FixUnicode(),
            curator.GopherQuality(min_stop_words=1),
            curator.ExactDedup(),
        ]
    )


def dedup_pipeline(path: str) -> Pipeline:
    """No filter at all."""
    return Pipeline([curator.ReadJsonl(path), curator.ExactDedup(), curator.FuzzyDedup()])


def cutting_pipeline(path: str) -> Pipeline:
    """Spans cut out of texts, and what has to wait for it."""
    return Pipeline(
        [
            curator.ReadJsonl(path),
            curator.GopherQuality(min_words=5, min_stop_words=0),
            curator.ParagraphDedup(min_characters=15),
            curator.ExactDedup(column="url", normalise="url", keep="longest"),
            curator.LineDedup(min_characters=5, max_copies=3, keep="none", max_cut=0.9),
            curator.FuzzyDedup(),
            curator.ExactDedup(normalise="words", keep="best:nonsymbol_words"),
        ]
    )


def lines_pipeline(path: str) -> Pipeline:
    """One stage that cuts, and one after it: few files, to die at each."""
    return Pipeline(
        [curator.ReadJsonl(path), curator.LineDedup(min_characters=2, max_copies=2), curator.ExactDedup(keep="longest")]
    )


def substring_pipeline(path: str) -> Pipeline:
    """A corpus stage that rewrites texts, and one that reads them afterwards."""
    return Pipeline([curator.ReadJsonl(path), curator.SubstringDedup(min_bytes=60, max_cut=0.9), curator.ExactDedup()])


PIPELINES = [text_pipeline, interleaved_pipeline, dedup_pipeline, cutting_pipeline, substring_pipeline]


def content(folder: Path) -> dict[str, str]:
    """Every published file and the hash of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for kind in RESULTS
        for path in sorted((folder / kind).rglob("*"))
        if path.is_file()
    }


def rows(folder: Path, kind: str) -> pa.Table:
    tables = [pq.read_table(path) for path in sorted((folder / kind).glob("*.parquet"))]
    return pa.concat_tables(tables)


@pytest.fixture(scope="module")
def records():
    return documents(160, seed=11)


@pytest.fixture(scope="module")
def clean(tmp_path_factory, records):
    """(pipeline function, glob, run folder) of an undisturbed run of each pipeline."""
    place = tmp_path_factory.mktemp("clean")
    glob = write_parts(place / "in", records, 3)
    made = {}
    for pipeline in PIPELINES:
        pipeline(glob).run(str(place / pipeline.__name__), workers=0)
        made[pipeline] = (glob, place / pipeline.__name__)
    return made


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_kept_and_dropped_are_what_was_read_each_once(clean, records, pipeline):
    _, folder = clean[pipeline]
    kept, dropped = rows(folder, "documents")["id"].to_pylist(), rows(folder, "ledger")["id"].to_pylist()
    assert sorted(kept + dropped) == sorted(record["id"] for record in records)
    assert kept
    assert dropped
    summary = storage.read_json(str(folder / "run.json"))
    assert (summary["documents"], summary["read"]) == (len(kept), len(records))


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_summary_counts_what_the_ledger_holds(clean, pipeline):
    _, folder = clean[pipeline]
    ledger = rows(folder, "ledger").group_by(["stage_index", "reason"]).aggregate([("doc_id", "count")]).to_pylist()
    summary = storage.read_json(str(folder / "run.json"))
    said = {(s["index"], reason): n for s in summary["stages"] for reason, n in s["rejected"].items()}
    assert said == {(row["stage_index"], row["reason"]): row["doc_id_count"] for row in ledger}
    for before, after in zip(summary["stages"], summary["stages"][1:]):
        assert before["documents_out"] == after["documents_in"]
        assert after["documents_in"] - after["documents_out"] == sum(after["rejected"].values())


def test_every_duplicate_has_a_witness_that_its_stage_kept(clean):
    for _, folder in clean.values():
        ledger = rows(folder, "ledger").to_pylist()
        fell = {row["doc_id"]: row["stage_index"] for row in ledger}
        kept = set(rows(folder, "documents")["doc_id"].to_pylist())
        duplicates = [row for row in ledger if row["witness"] is not None]
        assert duplicates
        for row in duplicates:
            if row["similarity"] is None:
                continue  # cut and not compared; who was to keep its bytes may have lost too much itself
            assert row["similarity"] >= 0.8
            assert row["witness"] in kept or fell[row["witness"]] > row["stage_index"]


@pytest.mark.parametrize("batch_mb", [0.002, 0.05])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_batch_size_changes_no_byte(clean, tmp_path, pipeline, batch_mb):
    glob, folder = clean[pipeline]
    pipeline(glob).run(str(tmp_path / "run"), workers=0, batch_mb=batch_mb)
    assert content(tmp_path / "run") == content(folder)


@pytest.mark.parametrize(("pipeline", "workers"), [(text_pipeline, 1), (text_pipeline, 2), (text_pipeline, 4),
                                                   (cutting_pipeline, 2)])  # fmt: skip
def test_number_of_workers_changes_no_byte(clean, tmp_path, pipeline, workers):
    glob, folder = clean[pipeline]
    pipeline(glob).run(str(tmp_path / "run"), workers=workers)
    assert content(tmp_path / "run") == content(folder)


def test_a_running_scheduler_changes_no_byte(clean, tmp_path):
    from distributed import LocalCluster

    glob, folder = clean[text_pipeline]
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        text_pipeline(glob).run(str(tmp_path / "run"), scheduler=cluster.scheduler_address)
    assert content(tmp_path / "run") == content(folder)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_strict_device_changes_no_byte(clean, tmp_path, pipeline, monkeypatch):
    strict_cudf.install(monkeypatch.setitem)
    glob, folder = clean[pipeline]
    result = pipeline(glob).run(str(tmp_path / "run"), workers=0, device="gpu")
    assert content(tmp_path / "run") == content(folder)
    assert result.summary["device"] == "gpu"
    assert result.summary["kernel_fallback_bytes"] > 0


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_other_files_with_the_same_records_give_equal_rows(clean, records, tmp_path, pipeline):
    _, folder = clean[pipeline]
    glob = write_parts(tmp_path / "in", records, 5, ending=".jsonl.gz")
    pipeline(glob).run(str(tmp_path / "run"), workers=0)
    for kind, leave in (("documents", ["doc_id"]), ("ledger", ["doc_id", "witness"])):
        here, there = (rows(f, kind).drop_columns(leave).sort_by("id") for f in (folder, tmp_path / "run"))
        assert here.equals(there), kind
    if pipeline is text_pipeline:
        for name in ("shard-00000.bin", "shard-00000.idx", "tokenizer.json"):
            assert (folder / "tokens" / name).read_bytes() == (tmp_path / "run/tokens" / name).read_bytes()


def test_part_size_moves_documents_between_parts_but_loses_none(clean, records, tmp_path):
    big = [{**record, "text": record["text"] * 30} for record in records]
    path = write_jsonl(tmp_path / "in.jsonl", big)
    one, many = (Pipeline([curator.ReadJsonl(str(path), part_mb=mb), curator.ExactDedup()]) for mb in (64, 1))
    assert one.run(str(tmp_path / "one"), workers=0).documents == many.run(str(tmp_path / "many"), workers=0).documents
    assert len(list((tmp_path / "many/documents").iterdir())) > 3
    same = [rows(tmp_path / name, "documents").drop_columns(["doc_id"]).sort_by("id") for name in ("one", "many")]
    assert same[0].equals(same[1])


class Crash(BaseException):
    """Stands for the process dying at this very point."""


def crash_at(monkeypatch, number: int, after: bool) -> None:
    real, count = storage.publish, 0

    def publish(aside: Path, final: Path) -> None:
        nonlocal count
        count += 1
        if count == number:
            if after:
                real(aside, final)
            raise Crash
        real(aside, final)

    monkeypatch.setattr(storage, "publish", publish)


def count_writes(monkeypatch, pipeline: Pipeline, folder: Path) -> int:
    real, count = storage.publish, 0

    def publish(aside: Path, final: Path) -> None:
        nonlocal count
        count += 1
        real(aside, final)

    monkeypatch.setattr(storage, "publish", publish)
    pipeline.run(str(folder), workers=0)
    monkeypatch.setattr(storage, "publish", real)
    return count


@pytest.mark.parametrize("both", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "pipeline",
    [
        text_pipeline,
        pytest.param(interleaved_pipeline, marks=pytest.mark.slow),
        lines_pipeline,
        pytest.param(substring_pipeline, marks=pytest.mark.slow),
    ],
)
def test_a_crash_at_any_write_and_a_resume_change_no_byte(tmp_path, records, monkeypatch, pipeline, both):
    """Before or after the file has its name, in turn; `both`: before and after, at every write."""
    glob = write_parts(tmp_path / "in", records[:60], 2)
    real = storage.publish
    writes = count_writes(monkeypatch, pipeline(glob), tmp_path / "clean")
    wanted = content(tmp_path / "clean")
    assert writes > 20
    for number in range(1, writes + 1):
        for after in (False, True) if both else (number % 2 == 0,):
            folder = tmp_path / f"run-{number}-{after}"
            crash_at(monkeypatch, number, after)
            with pytest.raises(Crash):
                pipeline(glob).run(str(folder), workers=0)
            monkeypatch.setattr(storage, "publish", real)
            pipeline(glob).run(str(folder), workers=0)
            assert content(folder) == wanted, (number, after)
            assert not list(folder.rglob("*.tmp"))


def test_a_killed_worker_changes_no_byte(tmp_path, records):
    import psutil

    glob = write_parts(tmp_path / "in", records, 40)
    text_pipeline(glob).run(str(tmp_path / "clean"), workers=0)
    command = [
        sys.executable, "-c",
        "import sys\n"
        "from tests.laws.test_run_laws import text_pipeline\n"
        "if __name__ == '__main__':\n"
        "    text_pipeline(sys.argv[1]).run(sys.argv[2], workers=2)\n",
        glob, str(tmp_path / "run"),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    done = tmp_path / "run" / "work"
    deadline = time.monotonic() + 120
    while not list(done.glob("segment-0-*/done/part-*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = [
        child for child in psutil.Process(process.pid).children(recursive=True)
        if any("spawn_main" in word for word in child.cmdline())
    ]  # fmt: skip
    assert len(workers) == 2
    os.kill(workers[0].pid, signal.SIGKILL)
    assert process.wait(180) == 0
    assert content(tmp_path / "run") == content(tmp_path / "clean")


def test_a_killed_run_can_be_resumed_at_once(tmp_path, records):
    glob = write_parts(tmp_path / "in", records, 40)
    text_pipeline(glob).run(str(tmp_path / "clean"), workers=0)
    code = (
        "import sys\nfrom tests.laws.test_run_laws import text_pipeline\n"
        "text_pipeline(sys.argv[1]).run(sys.argv[2], workers=0)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, glob, str(tmp_path / "run")], cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("run/work/segment-0-*/done/part-*.json"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert not (tmp_path / "run/run.json").exists()
    text_pipeline(glob).run(str(tmp_path / "run"), workers=0)
    assert content(tmp_path / "run") == content(tmp_path / "clean")


def test_a_moved_run_folder_is_still_the_same_run(tmp_path, records):
    glob = write_parts(tmp_path / "in", records[:60], 2)
    text_pipeline(glob).run(str(tmp_path / "run"), workers=0)
    wanted = content(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "moved/documents/part-00001.parquet").unlink()
    text_pipeline(glob).run(str(tmp_path / "moved"), workers=0)
    assert content(tmp_path / "moved") == wanted


def test_a_file_with_one_bad_part_gives_nothing_and_can_be_mended(tmp_path):
    texts = [f"{i} " + "some words that make a text " * 4000 for i in range(40)]
    path = tmp_path / "a.parquet"
    options = {"row_group_size": 4, "compression": "none", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(pa.table({"text": texts}), path, **options)
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2] + b"\0" * 100_000 + good[len(good) // 2 + 100_000 :])
    pipeline = Pipeline([curator.ReadParquet(str(path), part_mb=1), curator.ExactDedup()])
    result = pipeline.run(str(tmp_path / "run"), workers=0)
    assert (len(result.quarantined), result.documents) == (1, 0)
    assert content(tmp_path / "run") == {}
    path.write_bytes(good)
    result = pipeline.run(str(tmp_path / "run"), workers=0)
    assert (len(result.quarantined), result.documents) == (0, 40)


def test_a_passing_read_error_is_tried_again(tmp_path, records, monkeypatch):
    path = write_jsonl(tmp_path / "in.jsonl", records[:20])
    pipeline = Pipeline([curator.ReadJsonl(str(path)), curator.ExactDedup()])
    real = storage.opening

    def opening(url):
        if url == str(path):
            raise OSError("connection reset")
        return real(url)

    monkeypatch.setattr(storage, "opening", opening)
    result = pipeline.run(str(tmp_path / "run"), workers=0)
    assert [bad["reason"] for bad in result.quarantined] == ["cannot be read to its end: connection reset"]
    monkeypatch.setattr(storage, "opening", real)
    assert pipeline.run(str(tmp_path / "run"), workers=0).summary["read"] == 20


def test_half_a_marker_is_redone(tmp_path, records):
    glob = write_parts(tmp_path / "in", records[:40], 2)
    dedup_pipeline(glob).run(str(tmp_path / "run"), workers=0)
    wanted = content(tmp_path / "run")
    for marker in (tmp_path / "run/work").rglob("done/part-00000.json"):
        marker.write_text("")
    dedup_pipeline(glob).run(str(tmp_path / "run"), workers=0)
    assert content(tmp_path / "run") == wanted


@pytest.mark.parametrize("batch_mb", [0.0001, 10])
def test_kept_columns_with_nulls_stay_exact(tmp_path, batch_mb):
    large = [9007199254740993, None, 3, None]
    flags = [True, None, False, None]
    rows_in = [{"id": str(i), "text": f"text {i}", "n": n, "b": b} for i, (n, b) in enumerate(zip(large, flags))]
    path = write_jsonl(tmp_path / "in.jsonl", rows_in)
    reader = curator.ReadJsonl(str(path), keep=("n:int64", "b:bool"))
    Pipeline([reader, curator.ExactDedup()]).run(str(tmp_path / "run"), workers=0, batch_mb=batch_mb)
    table = rows(tmp_path / "run", "documents")
    assert (table["n"].to_pylist(), table["b"].to_pylist()) == (large, flags)


def test_a_limit_does_not_replace_a_whole_run(clean):
    glob, folder = clean[dedup_pipeline]
    before = content(folder)
    with pytest.raises(curator.errors.RunError, match="holds a whole run"):
        dedup_pipeline(glob).run(str(folder), workers=0, limit=3)
    assert content(folder) == before


def stamps(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("part-*") if p.is_file()}


def test_a_finished_run_is_not_done_again(clean, tmp_path, records):
    glob = write_parts(tmp_path / "in", records[:60], 2)
    text_pipeline(glob).run(str(tmp_path / "run"), workers=0)
    before = stamps(tmp_path / "run")
    text_pipeline(glob).run(str(tmp_path / "run"), workers=0)
    assert stamps(tmp_path / "run") == before


def test_a_damaged_checkpoint_is_noticed_and_redone(tmp_path, records):
    glob = write_parts(tmp_path / "in", records[:60], 2)
    text_pipeline(glob).run(str(tmp_path / "run"), workers=0)
    wanted = content(tmp_path / "run")
    for victim in ("documents/part-00001.parquet", "ledger/part-00000.parquet"):
        path = tmp_path / "run" / victim
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(bytes(data))
    (next((tmp_path / "run/work").glob("segment-0-*")) / "documents/part-00000.parquet").write_bytes(b"PAR1")
    text_pipeline(glob).run(str(tmp_path / "run"), workers=0)
    assert content(tmp_path / "run") == wanted


def test_a_changed_setting_redoes_only_what_follows(tmp_path, records):
    glob = write_parts(tmp_path / "in", records[:60], 2)
    text_pipeline(glob).run(str(tmp_path / "run"), workers=0)
    before = stamps(tmp_path / "run")
    changed = Pipeline([*text_pipeline(glob).stages[:-1], curator.Pack(seq_length=64)])
    changed.run(str(tmp_path / "run"), workers=0)
    after = stamps(tmp_path / "run")
    assert {name for name in before if before[name] != after[name]} == set()
    assert storage.read_json(str(tmp_path / "run/tokens/manifest.json"))["seq_length"] == 64
    stricter = list(text_pipeline(glob).stages)
    stricter[3] = curator.GopherQuality(min_words=150, min_stop_words=1)
    fresh = Pipeline(stricter).run(str(tmp_path / "fresh"), workers=0)
    again = Pipeline(stricter).run(str(tmp_path / "run"), workers=0)
    assert content(tmp_path / "run") == content(tmp_path / "fresh")
    assert fresh.documents == again.documents


def test_new_input_is_added_and_old_parts_are_not_read_again(tmp_path, records):
    glob = write_parts(tmp_path / "in", records[:100], 2)
    dedup_pipeline(glob).run(str(tmp_path / "run"), workers=0)
    before = stamps(tmp_path / "run")
    write_jsonl(tmp_path / "in/part-99.jsonl", records[100:])
    result = dedup_pipeline(glob).run(str(tmp_path / "run"), workers=0)
    after = stamps(tmp_path / "run")
    assert all(after[name] == stamp for name, stamp in before.items() if "segment-0" in name)
    assert result.summary["read"] == len(records)
    dedup_pipeline(glob).run(str(tmp_path / "fresh"), workers=0)
    assert content(tmp_path / "run") == content(tmp_path / "fresh")


@pytest.mark.parametrize("limit", [1, 37, 53, 54, 1000])
def test_a_limit_reads_the_first_documents(tmp_path, records, limit):
    glob = write_parts(tmp_path / "in", records, 3)
    result = dedup_pipeline(glob).run(str(tmp_path / "run"), workers=0, limit=limit, batch_mb=0.01)
    ids = rows(tmp_path / "run", "documents")["id"].to_pylist() + rows(tmp_path / "run", "ledger")["id"].to_pylist()
    assert sorted(ids) == sorted(record["id"] for record in records[:limit])
    assert result.summary["read"] == min(limit, len(records))
