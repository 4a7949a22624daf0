"""On real text: batch after batch equals one run, and no removal is without proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import curator
from curator import Pipeline
from tests.conftest import SHARED
from tests.curator.dedup.near.test_incremental import decisions, rows
from tests.curator.kernels.specification import jaccard, shingles_of

BENCH = SHARED / "bench"
pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def halves(tmp_path_factory) -> list[Path]:
    """1,200 planted pairs and 2,000 documents beside them, in the order of the corpus, cut in two files."""
    if not BENCH.is_dir():
        pytest.skip(f"the real corpus is absent: {BENCH}")
    truth = pq.read_table(BENCH / "truth.parquet", columns=["copy_id", "source_id"]).slice(0, 1200)
    corpus = pq.read_table(BENCH / "corpus.parquet")
    wanted = pa.concat_arrays(
        [*truth["copy_id"].chunks, *truth["source_id"].chunks, *corpus["id"].slice(0, 2000).chunks]
    )
    some = corpus.filter(pc.is_in(corpus["id"], wanted))
    some = some.take(pa.array(np.random.default_rng(0).permutation(len(some))))  # pairs on both sides of the cut
    folder = tmp_path_factory.mktemp("corpus")
    files = []
    for number in (0, 1):
        files.append(folder / f"half-{number}.parquet")
        pq.write_table(some.slice(number * len(some) // 2, len(some) // 2), files[-1])
    return files


def run(folder: Path, path: Any, **settings: Any) -> Path:
    stage = curator.FuzzyDedup(**settings)
    Pipeline([curator.ReadParquet(path), stage]).run(str(folder), workers=0)
    return folder


@pytest.mark.parametrize("cap", [1, 1000])
def test_two_batches_equal_one_run(tmp_path, halves, cap):
    first = run(tmp_path / "a", str(halves[0]), index="fingerprints", max_bucket=cap)
    second = run(tmp_path / "b", str(halves[1]), against=str(first), max_bucket=cap)
    whole = run(tmp_path / "whole", [str(half) for half in halves], max_bucket=cap)
    assert decisions([first, second]) == decisions([whole])
    assert sum(row["witness_run"] is not None for row in rows(second, "ledger")) > 100


def test_every_removal_has_a_kept_witness_at_the_threshold(tmp_path, halves):
    folder = run(tmp_path / "run", [str(half) for half in halves])
    kept = {row["id"] for row in rows(folder, "documents")}
    texts = {str(row["id"]): row["text"] for half in halves for row in pq.read_table(half).to_pylist()}
    found = decisions([folder])
    assert len(found) > 500
    for document, (witness, similarity) in found.items():
        assert witness in kept
        true = jaccard(shingles_of(texts[document], 5), shingles_of(texts[witness], 5))
        assert true >= 0.8
        assert similarity == np.float32(true)
