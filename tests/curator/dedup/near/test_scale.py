"""However little a task may hold, the outcome is that of the sequential rule."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curator
from curator import Pipeline, frames
from curator.dedup.near import fit
from curator.dedup.near.limits import Limits
from curator.stage import CorpusStage
from tests.corpus import WORDS, write_parts
from tests.curator.kernels.specification import kept_by_rule, shingles_of

TINY = [
    Limits(),
    Limits(job_bytes=40_000),  # several jobs, and rounds for the larger components
    Limits(job_bytes=6_000),  # many rounds
    Limits(task_rows=200, job_bytes=100_000),
    Limits(main_documents=0, task_rows=500, job_bytes=60_000),  # components by stars, on disk
]


def families(seed: int, count: int = 150) -> list[dict[str, Any]]:
    """Documents in families of edits of edits, so that chains and crowded buckets arise."""
    rng = random.Random(seed)
    texts: list[list[str]] = []
    for _ in range(count):
        if texts and rng.random() < 0.85:
            words = list(rng.choice(texts[-30:]))
            for _ in range(rng.choice([0, 1, 2, 5])):
                words[rng.randrange(len(words))] = rng.choice(WORDS)
            words += rng.choices(WORDS, k=rng.choice([0, 0, 3]))
        else:
            words = rng.choices(WORDS, k=rng.randint(40, 90))
        texts.append(words)
    return [{"id": f"{n:04d}", "text": " ".join(words)} for n, words in enumerate(texts)]


def dropped(folder: Path) -> dict[str, tuple[str, float]]:
    """Return {id: (id of the witness, similarity)} of a run."""
    kept = pa.concat_tables([pq.read_table(p) for p in sorted((folder / "documents").iterdir())]).to_pylist()
    gone = pa.concat_tables([pq.read_table(p) for p in sorted((folder / "ledger").iterdir())]).to_pylist()
    ids = {row["doc_id"]: row["id"] for row in kept + gone}
    return {row["id"]: (ids[row["witness"]], row["similarity"]) for row in gone}


def run(folder: Path, records: list[dict[str, Any]], stage: CorpusStage, parts: int = 4, **options: Any) -> Any:
    glob = write_parts(folder / "in", records, parts)
    Pipeline([curator.ReadJsonl(glob), stage]).run(str(folder / "run"), **{"workers": 0} | options)
    return dropped(folder / "run")


def sketched(records: list[dict[str, Any]], stage: curator.FuzzyDedup) -> tuple[np.ndarray, list[Any]]:
    """Return the band keys and the shingle sets of records."""
    texts = pa.table({"text": pa.array([r["text"] for r in records], pa.large_string())})
    keys = frames.to_arrow(stage.sketch(frames.from_arrow(texts)))
    columns = [keys[f"band_{i:02d}"].to_numpy() for i in range(stage.bands)]
    return np.column_stack(columns), [shingles_of(r["text"], stage.width) for r in records]


def by_rule(records: list[dict[str, Any]], stage: curator.FuzzyDedup, order: list[int]) -> dict[str, tuple[str, float]]:
    """Decide in plain Python: the sequential rule, in this order."""
    keys, sets = sketched(records, stage)
    witness, similarity, _ = kept_by_rule(keys, np.array(order), sets, stage.jaccard, stage.max_bucket)
    return {
        records[i]["id"]: (records[w]["id"], np.float32(s))
        for i, (w, s) in enumerate(zip(witness, similarity))
        if w >= 0
    }


@pytest.mark.parametrize("cap", [2, 1000])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("limits", TINY)
def test_rounds_jobs_and_stars_give_the_sequential_rule(tmp_path, monkeypatch, limits, seed, cap):
    monkeypatch.setattr(fit, "LIMITS", limits)
    records = families(seed)
    stage = curator.FuzzyDedup(jaccard=0.7, bands=8, rows=2, width=3, max_bucket=cap, keep="longest")
    order = sorted(range(len(records)), key=lambda i: (-len(records[i]["text"]), i))
    expected = by_rule(records, stage, order)
    assert run(tmp_path, records, stage) == expected
    assert 20 < len(expected) < 140


def test_two_workers_decide_as_one_process(tmp_path, monkeypatch):
    records = families(3, 300)
    stage = curator.FuzzyDedup(jaccard=0.7, bands=8, rows=2, width=3)
    assert run(tmp_path / "1", records, stage) == run(tmp_path / "2", records, stage, workers=2)


def kept_under(folder: Path, keep: str) -> list[str]:
    """Run families of three sources, with a number to rank by; return the ids kept, of near-copies of one text."""
    text = " ".join(WORDS[:60])
    records = [(f"{source}{i}", f"{text} {source}{i}", quality) for source, i, quality in
               (("web", 0, 1.0), ("web", 1, None), ("wiki", 0, 3.0), ("books", 0, 2.0), ("books", 1, 9.0))]  # fmt: skip
    globs = {}
    for source in ("web", "wiki", "books"):
        own = [{"id": id, "text": text, "quality": q} for id, text, q in records if id.startswith(source)]
        globs[source] = write_parts(folder / source, own, 1)
    reader = curator.ReadJsonl(globs, keep=("quality:float64",))
    Pipeline([reader, curator.FuzzyDedup(keep=keep)]).run(str(folder / "run"), workers=0)
    return pq.read_table(folder / "run/documents")["id"].to_pylist()


@pytest.mark.parametrize(
    ("keep", "kept"),
    [("first", "books0"), ("source:wiki,web", "wiki0"), ("source:web", "web0"), ("best:quality", "books1")],
)
def test_who_stays_is_the_policys_choice(tmp_path, keep, kept):
    assert kept_under(tmp_path, keep) == [kept]


def test_texts_in_memory_are_decided_as_in_a_run(tmp_path):
    records = families(6, 200)
    for stage in (
        curator.FuzzyDedup(jaccard=0.7, bands=8, rows=2, width=3, keep="longest"),
        curator.FuzzyDedup(jaccard=0.7, bands=8, rows=2, width=9, shingles="characters", signature="minhash"),
        curator.FuzzyDedup(jaccard=0.7, bands=8, rows=2, width=3, cluster="components"),
        curator.FuzzyDedup(bands=8, rows=3, width=3, cluster="components", verify=False, keep="longest"),
    ):
        whole = pa.array([r["text"] for r in records])
        found = stage.find(whole)
        for again, column in zip(stage.find(pa.chunked_array([whole[:70], whole[70:]])), found):
            np.testing.assert_array_equal(again, column)
        ids = [r["id"] for r in records]
        decided = {
            ids[a]: (ids[b], np.float32(s) if stage.verify else None)
            for a, b, s in zip(found.removed, found.witness, found.similarity)
        }
        assert run(tmp_path / stage.shingles / stage.cluster / str(stage.verify), records, stage) == decided
        assert len(decided) > 20
