"""Synthetic sketches: files as a run's, clusters as planted, the same for the same seed."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from benchmarks import ours_scale, synthetic
from curator.cluster import Cluster

BANDS = 5


def make(folder, monkeypatch, seed=0, documents=3000):
    monkeypatch.setattr(synthetic, "PART", 1024)
    monkeypatch.setattr(synthetic, "BATCH", 400)
    return synthetic.corpus(synthetic.make(folder, documents, BANDS, seed), Cluster(None, 1))


def keys(corpus):
    return np.column_stack([ours_scale.band_keys(corpus, band) for band in range(BANDS)])


def test_a_stage_reads_them_as_it_reads_a_run(tmp_path, monkeypatch):
    corpus = make(tmp_path, monkeypatch)
    table = corpus.alive.read_all(corpus.parts, "characters")
    assert corpus.parts == (0, 1, 2)
    assert table["doc_id"].to_pylist() == [row // 1024 << 32 | row % 1024 for row in range(3000)]
    assert min(table["characters"].to_pylist()) >= 1


def test_as_many_documents_are_connected_as_were_planted(tmp_path, monkeypatch):
    corpus = make(tmp_path, monkeypatch)
    known = json.loads((tmp_path / "planted.json").read_text())
    parent, seen = list(range(3000)), {}
    for row, mine in enumerate(keys(corpus).tolist()):
        for key in mine:
            leader = seen.setdefault(key, row)
            a, b = (next_root(parent, place) for place in (leader, row))
            parent[max(a, b)] = min(a, b)
    roots = [next_root(parent, row) for row in range(3000)]
    assert len(set(roots)) == known["components"] == 3000 - known["joined"]
    assert 0 < known["joined"] < 900
    assert ours_scale.connected(ours_scale.band_keys(corpus, band) for band in range(BANDS)).tolist() == roots


def test_the_stage_removes_what_was_planted(tmp_path, monkeypatch):
    make(tmp_path, monkeypatch)
    assert ours_scale.fit(str(tmp_path), "0")["cpu"] > 0  # it exits otherwise
    known = json.loads((tmp_path / "planted.json").read_text())
    (tmp_path / "planted.json").write_text(json.dumps({**known, "joined": known["joined"] + 1}))
    with pytest.raises(SystemExit, match="are right"):
        ours_scale.fit(str(tmp_path), "0")


def next_root(parent, row):
    while parent[row] != row:
        row = parent[row]
    return row


def test_bands_are_shared_as_often_as_the_similarities_say(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "ROWS", 1)
    found = keys(make(tmp_path, monkeypatch))
    originals, copies = set(found[:2100].ravel().tolist()), found[2100:]
    shared = np.array([[key in originals for key in row] for row in copies.tolist()])
    assert abs(shared.mean() - 0.75) < 0.02  # the mean of 0.5 to 1
    assert (shared.mean(1) >= 0.8).any()
    assert (shared.mean(1) <= 0.4).any()


def test_the_seed_decides_and_nothing_else(tmp_path, monkeypatch):
    first, again, other = (
        keys(make(tmp_path / name, monkeypatch, seed)) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert (first == again).all()
    assert not np.isin(first, other).any()


def test_made_pairs_are_as_alike_as_was_asked():
    starts, flat, a, b = ours_scale.made_pairs(500)
    sets = [set(flat[s:t].tolist()) for s, t in itertools.pairwise(starts)]
    assert {len(s) for s in sets} == {ours_scale.SHINGLES}
    similar = [ours_scale.with_sets(sets[i], sets[j]) for i, j in zip(a, b, strict=True)]
    assert 0.49 < min(similar) < 0.55
    assert 0.95 < max(similar) <= 1
    found = ours_scale.compare(starts, flat, a, b)
    assert found[np.array(similar) >= 0.8] == pytest.approx([s for s in similar if s >= 0.8])
    assert (found[np.array(similar) < 0.8] < 0.8).all()
