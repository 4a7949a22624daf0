"""Semantic duplicates by a column of embeddings: decisions, evidence, and input that is wrong."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curator
from curator import Pipeline
from curator.dedup import kmeans, semantic
from curator.errors import ColumnError, InputError, SpecError
from tests.corpus import write_jsonl
from tests.curator.dedup.test_cosine import sequential
from tests.curator.kernels.test_vectors import fixed


def write(folder, lists, parts, kind=None):
    """Write documents 0, 1, ... with their embeddings over some Parquet files; return the glob."""
    folder.mkdir(parents=True)
    each = -(-len(lists) // parts)
    for number in range(parts):
        rows = range(number * each, min((number + 1) * each, len(lists)))
        vectors = pa.array([lists[row] for row in rows], kind or pa.list_(pa.float32()))
        ids = pa.array([str(row) for row in rows], pa.string())
        table = pa.table({"id": ids, "text": ids, "v": vectors})
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=50)
    return str(folder / "*.parquet")


def pipeline(glob, **settings):
    return Pipeline(
        [curator.ReadParquet(glob, keep=("v:list<float32>",)), curator.SemanticDedup(embedding="v", **settings)]
    )


def results(folder):
    """Return (kept ids, {dropped id: ledger row}, {doc_id: id})."""
    kept, dropped = (
        [row for file in sorted((folder / kind).iterdir()) for row in pq.read_table(file).to_pylist()]
        for kind in ("documents", "ledger")
    )
    return [r["id"] for r in kept], {r["id"]: r for r in dropped}, {r["doc_id"]: r["id"] for r in kept + dropped}


def run(folder, lists, parts=3, kind=None, **settings):
    pipeline(write(folder / "in", lists, parts, kind), **settings).run(str(folder / "run"), workers=0)
    return results(folder / "run")


def paraphrases(topics, meanings, copies, dimensions=64, seed=0):
    """Return (rows, number of the meaning of each): blobs of meanings, each said several times, shuffled.

    Two ways to say one thing have a cosine of about 0.996, two meanings of a topic one of about 0.8.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(topics, dimensions))
    said = np.repeat(centres, meanings, axis=0) + 0.5 * rng.normal(size=(topics * meanings, dimensions))
    truth = rng.permutation(np.repeat(np.arange(len(said)), copies))
    return (said[truth] + 0.07 * rng.normal(size=(len(truth), dimensions))).astype(np.float32), truth


def expected(rows, settings):
    """Clusters as `kmeans` gives them for a corpus that is its own sample; the rule in plain Python."""
    unit = fixed(rows)
    made = kmeans.centroids(unit, settings["clusters"], 25, 0)
    labels, closeness = kmeans.nearest(unit, made)
    sign = {"hard": 1, "easy": -1, "first": 0}[settings.get("keep", "hard")]
    found = {}
    for cluster in range(len(made)):
        order = np.array(sorted(np.flatnonzero(labels == cluster), key=lambda row: (sign * closeness[row], row)), int)
        witness, similarity = sequential(unit[order], 1 - settings["eps"])
        found |= {str(order[i]): (str(order[w]), similarity[i]) for i, w in enumerate(witness) if w >= 0}
    return found


@pytest.mark.parametrize("keep", ["hard", "easy", "first"])
@pytest.mark.parametrize("clusters", [1, 9])
def test_against_all_pairs_of_each_cluster(tmp_path, monkeypatch, keep, clusters):
    monkeypatch.setattr(semantic, "TASK_BYTES", 20_000)  # several tasks and ranges
    rows, _ = paraphrases(9, 12, 3)
    settings = {"eps": 0.0042, "clusters": clusters, "keep": keep, "sample": 1000}
    kept, dropped, ids = run(tmp_path, rows.tolist(), **settings)
    wanted = expected(rows, settings)
    assert {id: (ids[r["witness"]], np.float32(r["similarity"])) for id, r in dropped.items()} == wanted
    assert kept == [str(i) for i in range(len(rows)) if str(i) not in wanted]
    assert len(wanted) > 50
    assert {(r["stage"], r["reason"], r["threshold"]) for r in dropped.values()} == {
        ("SemanticDedup", "semantic_duplicate", 1 - 0.0042)
    }


def test_one_of_each_planted_meaning_stays(tmp_path):
    rows, truth = paraphrases(20, 10, 4, seed=5)
    kept, dropped, ids = run(tmp_path, rows.tolist(), eps=0.02, clusters=20)
    assert sorted(truth[int(id)] for id in kept) == list(range(200))
    assert all(truth[int(id)] == truth[int(ids[row["witness"]])] for id, row in dropped.items())


def test_hard_keeps_the_farthest_from_the_centroid_and_easy_the_nearest(tmp_path):
    angles = np.array([0.0, 0.02, 0.04, 0.06])  # the mean direction is nearest to the middle two
    rows = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(4)])
    rows = np.vstack([rows, [[1, -0.03, 0.9], [1, 0.09, -0.9]]]).tolist()
    hard, _, _ = run(tmp_path / "hard", rows, eps=0.01, clusters=1, keep="hard")
    easy, _, _ = run(tmp_path / "easy", rows, eps=0.01, clusters=1, keep="easy")
    first, _, _ = run(tmp_path / "first", rows, eps=0.01, clusters=1, keep="first")
    assert (len(hard), len(easy), len(first)) == (3, 3, 3)
    assert set(hard) & {"0", "3"}
    assert set(easy) & {"1", "2"}
    assert "0" in first


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    rows, _ = paraphrases(10, 10, 4, seed=7)
    lists = [None if i % 31 == 0 else row for i, row in enumerate(rows.tolist())]
    glob = write(place / "in", lists, 4)
    settings = {"clusters": 10, "sample": 20, "eps": 0.004}  # k-means sees half of them
    pipeline(glob, **settings).run(str(place / "run"), workers=0)
    return lists, glob, settings, place / "run"


@pytest.mark.parametrize("options", [{"workers": 2}, {"workers": 0, "batch_mb": 0.0001}])
def test_workers_and_batches_change_no_byte(tmp_path, undisturbed, options):
    _, glob, settings, clean = undisturbed
    pipeline(glob, **settings).run(str(tmp_path / "run"), **options)
    assert len(results(clean)[1]) > 50
    for kind in ("documents", "ledger"):
        files = sorted((clean / kind).iterdir())
        assert [f.read_bytes() for f in files] == [(tmp_path / "run" / kind / f.name).read_bytes() for f in files]


def test_other_files_and_tasks_change_no_decision(tmp_path, undisturbed, monkeypatch):
    lists, _, settings, clean = undisturbed
    monkeypatch.setattr(semantic, "TASK_BYTES", 3000)
    kept, dropped, ids = run(tmp_path, lists, parts=7, **settings)
    kept_before, dropped_before, ids_before = results(clean)
    assert kept == kept_before
    assert {(i, ids[r["witness"]], r["similarity"]) for i, r in dropped.items()} == {
        (i, ids_before[r["witness"]], r["similarity"]) for i, r in dropped_before.items()
    }


def test_documents_without_an_embedding_stay_and_are_counted(tmp_path, capsys):
    lists = [None, [1, 0], [0, 0], [], [1, 0], None, [0, 0], [0, 1]]
    glob = write(tmp_path / "in", lists, 2)
    pipeline(glob).run(str(tmp_path / "run"), workers=0, quiet=False)
    kept, dropped, _ = results(tmp_path / "run")
    assert kept == ["0", "1", "2", "3", "5", "6", "7"]
    assert dropped.keys() == {"4"}
    said = capsys.readouterr()
    assert "5 of 8 documents have no embedding, or one of zeros" in said.out + said.err
    assert "3 embeddings are put in 1 clusters, not 1,000" in said.out + said.err


def test_a_corpus_without_embeddings_or_documents_stays_whole(tmp_path):
    assert run(tmp_path / "none", [None, None])[0] == ["0", "1"]
    assert run(tmp_path / "empty", [], parts=1)[0] == []


def test_documents_that_fell_before_are_no_witnesses(tmp_path):
    glob = write(tmp_path / "in", [[1, 0], [1, 0], [1, 0.001]], 1)
    reader = curator.ReadParquet(glob, keep=("v:list<float32>",))
    stages = [curator.SemanticDedup(embedding="v", eps=eps, keep="first") for eps in (1e-5, 0.1)]
    Pipeline([reader, *stages]).run(str(tmp_path / "run"), workers=0)
    kept, dropped, ids = results(tmp_path / "run")
    assert kept == ["0"]
    assert {id: ids[row["witness"]] for id, row in dropped.items()} == {"1": "0", "2": "0"}


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float64()), pa.list_(pa.float32(), 2), pa.large_list(pa.float32()), pa.list_(pa.float16())]
)
def test_parquet_columns_of_any_float_lists(tmp_path, kind):
    lists = [np.array(v, np.float16) for v in ([1, 0], [1, 0], [0, 1])]
    assert run(tmp_path, lists, 1, kind)[0] == ["0", "2"]


def test_jsonl_carries_embeddings_too(tmp_path):
    path = write_jsonl(tmp_path / "in.jsonl", [{"id": str(i), "text": "t", "v": [i // 2, 1.5]} for i in range(4)])
    reader = curator.ReadJsonl(str(path), keep=("v:list<float32>",))
    Pipeline([reader, curator.SemanticDedup(embedding="v")]).run(str(tmp_path / "run"), workers=0)
    assert results(tmp_path / "run")[0] == ["0", "2"]


@pytest.mark.parametrize("bad", [[1.0, float("nan")], [float("-inf"), 0.0], [None, 1.0]])
def test_a_broken_embedding_is_named(tmp_path, bad):
    with pytest.raises(InputError, match="embedding of document 3 holds a null, NaN or infinity"):
        run(tmp_path, [[1.0, 0.0]] * 3 + [bad] + [[0.0, 1.0]])


@pytest.mark.parametrize("parts", [1, 5])
def test_embeddings_of_different_lengths_are_named(tmp_path, parts):
    lists = [[1.0, 0.0], [1.0, 0.0], [1.0, 2.0, 3.0], [0.0, 1.0], [0.0, 1.0, 0.0]]
    with pytest.raises(InputError, match=r"document 0 has 2 dimensions, document 2 has 3 dimensions$"):
        run(tmp_path, lists, parts)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "neither is given"),
        ({"embedding": "v", "model": "folder"}, "both are given"),
        ({"embedding": "v", "eps": 0}, "eps is 0; it must be from 1e-05"),
        ({"embedding": "v", "eps": 1.0}, "eps is 1.0"),
        ({"embedding": "v", "clusters": 0}, "clusters is 0; it must be at least 1"),
        ({"embedding": "v", "sample": 0}, "sample is 0"),
        ({"embedding": "v", "iterations": 0}, "iterations is 0"),
        ({"embedding": "v", "seed": -1}, "seed is -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, said):
    with pytest.raises(SpecError, match=said):
        curator.SemanticDedup(**settings)


def test_a_column_that_is_not_there_is_refused_before_anything_is_read():
    with pytest.raises(ColumnError, match=r"reads v \(list<float32>\), but the stages before it give no such column"):
        Pipeline([curator.ReadParquet("*.parquet"), curator.SemanticDedup(embedding="v")])


@pytest.mark.parametrize(("total", "size"), [(10, 10), (1000, 37), (10**12, 5)])
def test_stretches_have_one_place_each(total, size):
    places = semantic._stretches(total, size, seed=4)
    assert [int(place) * size // total for place in places] == list(range(size)) or size == 37
    assert (np.diff(places) > 0).all()
    assert 0 <= places[0] <= places[-1] < total
