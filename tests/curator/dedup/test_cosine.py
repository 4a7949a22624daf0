"""The witness rule for cosines, against the rule said in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from curator.dedup import cosine
from curator.kernels import vectors


def near_rows(count, dimensions, seed):
    """Rows in groups whose members are about as close as the threshold."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(max(1, count // 6), dimensions))[rng.integers(0, max(1, count // 6), count)]
    return vectors.unit_rows((rows + 0.2 * rng.normal(size=rows.shape)).astype(np.float32))[0]


def sequential(rows, threshold):
    """The definition."""
    kept, witness, similarity = [], [], []
    exact = rows.astype(np.float64) @ rows.T.astype(np.float64)
    for row in range(len(rows)):
        near = [k for k in kept if float(np.float32(exact[row, k])) >= threshold]
        witness.append(near[0] if near else -1)
        similarity.append(np.float32(exact[row, near[0]]) if near else np.float32(np.nan))
        if not near:
            kept.append(row)
    return witness, np.minimum(np.array(similarity, np.float32), np.float32(1))


@pytest.mark.parametrize(("block", "strip"), [(1, 1), (7, 5), (64, 10), (512, 4096)])
@pytest.mark.parametrize("threshold", [0.9, 0.95, 0.97])
def test_against_the_sequential_rule(monkeypatch, block, strip, threshold):
    monkeypatch.setattr(cosine, "BLOCK", block)
    monkeypatch.setattr(cosine, "STRIP", strip)
    for seed in range(4):
        rows = near_rows(180, 12, seed)
        witness, similarity = cosine.witness_rule(rows, threshold)
        wanted, closeness = sequential(rows, threshold)
        assert witness.tolist() == wanted
        assert np.array_equal(similarity, closeness, equal_nan=True)
        assert 0 < (witness >= 0).sum() < 180
        assert (similarity[witness >= 0].astype(np.float64) >= threshold).all()
        assert (witness[witness[witness >= 0]] == -1).all()


def test_no_chain_swallows_what_is_far_from_the_kept():
    angles = np.linspace(0, np.pi / 2, 40)  # each is within the threshold of the next, and of no more than three
    rows = vectors.unit_rows(np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32))[0]
    witness, _ = cosine.witness_rule(rows, float(np.cos(3.5 * angles[1])))
    assert np.flatnonzero(witness < 0).tolist() == list(range(0, 40, 4))


def test_equal_rows_are_alike_at_any_threshold():
    rows = np.repeat(near_rows(1, 1024, 0), 700, axis=0)
    witness, similarity = cosine.witness_rule(rows, 1 - 1e-5)
    assert witness.tolist() == [-1] + [0] * 699
    assert similarity[1:].max() <= 1


def test_nothing_of_nothing():
    witness, similarity = cosine.witness_rule(np.zeros((0, 5), np.float32), 0.9)
    assert (len(witness), len(similarity)) == (0, 0)
