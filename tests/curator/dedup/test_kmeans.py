"""Spherical k-means: as good as a plain one, and the same bits however it is computed."""

from __future__ import annotations

import numpy as np
import pytest

from curator.dedup import kmeans
from curator.kernels import vectors


def blobs(count, each, dimensions, spread, seed):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, dimensions))
    rows = np.repeat(centres, each, axis=0) + spread * rng.normal(size=(count * each, dimensions))
    return vectors.unit_rows(rows[rng.permutation(len(rows))].astype(np.float32))[0]


def inertia(rows, made):
    return float((1 - (rows.astype(np.float64) @ made.T.astype(np.float64)).max(axis=1)).sum())


def plain_lloyd(rows, clusters, seed):
    """k-means++ and Lloyd's iterations to the end, as a textbook writes them."""
    rng = np.random.default_rng(seed)
    rows = rows.astype(np.float64)
    made = rows[[rng.integers(len(rows))]]
    for _ in range(1, clusters):
        far = np.maximum((1 - rows @ made.T).min(axis=1), 0)
        made = np.vstack([made, rows[rng.choice(len(rows), p=far / far.sum())]])
    for _ in range(200):
        labels = (rows @ made.T).argmax(axis=1)
        sums = np.array([rows[labels == k].sum(axis=0) if (labels == k).any() else made[k] for k in range(clusters)])
        after = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        if np.allclose(after, made):
            break
        made = after
    return made


@pytest.mark.parametrize(
    ("count", "spread", "clusters"),
    [
        (20, 0.4, 20),
        pytest.param(20, 1.5, 20, marks=pytest.mark.slow),
        (8, 1.0, 30),
        pytest.param(50, 0.7, 10, marks=pytest.mark.slow),
    ],
)
def test_inertia_is_no_worse_than_a_plain_lloyd_s(count, spread, clusters):
    rows = blobs(count, 60, 24, spread, seed=count)
    made = kmeans.centroids(rows, clusters, iterations=25, seed=0)
    reference = np.median([inertia(rows, plain_lloyd(rows, clusters, seed)) for seed in range(7)])
    assert len(made) == clusters
    assert inertia(rows, made) <= 1.05 * reference


def test_nearest_against_all_products_with_ties_to_the_first(monkeypatch):
    rows = blobs(6, 30, 8, 0.5, seed=1)
    made = np.concatenate([rows[:5], rows[:5], rows[9:10]])
    exact = rows.astype(np.float64) @ made.T.astype(np.float64)
    for cells in (1, 100, 1 << 21):
        monkeypatch.setattr(kmeans, "CELLS", cells)
        labels, similarity = kmeans.nearest(rows, made)
        assert np.array_equal(labels, exact.argmax(axis=1))
        assert np.array_equal(similarity, exact.max(axis=1))
    assert not set(labels.tolist()) & {5, 6, 7, 8, 9}


def test_the_order_of_computation_changes_no_bit(monkeypatch):
    rows = blobs(12, 50, 16, 0.8, seed=2)
    made = kmeans.centroids(rows, 12, iterations=10, seed=3)
    monkeypatch.setattr(kmeans, "CELLS", 57)
    assert np.array_equal(kmeans.centroids(rows, 12, iterations=10, seed=3), made)
    sums = {}
    for name, order in (("there", slice(None)), ("back", slice(None, None, -1))):
        sums[name] = np.zeros((1, 16))
        vectors.add_rows(np.ascontiguousarray(rows[order]), np.zeros(len(rows), np.int64), sums[name])
    assert np.array_equal(sums["there"], sums["back"])


def test_centroids_are_unit_vectors_and_depend_on_the_seed():
    rows = blobs(5, 40, 8, 1.0, seed=4)
    made = kmeans.centroids(rows, 9, iterations=3, seed=0)
    assert (made.astype(np.float64) ** 2).sum(axis=1) == pytest.approx(np.ones(9), abs=1e-6)
    assert np.array_equal(made * 2**24, np.rint(made * 2**24))
    assert not np.array_equal(kmeans.centroids(rows, 9, iterations=3, seed=1), made)


def test_fewer_distinct_rows_than_clusters_give_fewer_centroids():
    rows = vectors.unit_rows(np.repeat(np.eye(3, dtype=np.float32), 20, axis=0))[0]
    made = kmeans.centroids(rows, 10, iterations=5, seed=0)
    assert sorted(made.tolist()) == sorted(np.eye(3).tolist())


def test_an_empty_cluster_takes_the_farthest_row():
    rows = vectors.unit_rows(np.array([[1, 0], [1, 0.1], [1, -0.1], [0, 1]], np.float32))[0]
    before = vectors.unit_rows(np.array([[1, 0.01], [-1, 0]], np.float32))[0]
    labels, similarity = kmeans.nearest(rows, before)
    assert labels.tolist() == [0] * 4
    assert kmeans._means(rows, labels, similarity, before)[1].tolist() == [0.0, 1.0]


def test_opposite_rows_leave_a_centroid_where_it_was():
    rows = vectors.unit_rows(np.array([[1, 0], [-1, 0]], np.float32))[0]
    before = vectors.unit_rows(np.array([[0, 1]], np.float32))[0]
    assert kmeans._means(rows, *kmeans.nearest(rows, before), before).tolist() == [[0.0, 1.0]]
