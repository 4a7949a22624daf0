"""TopShare against sorting."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curator
from curator.errors import SpecError
from curator.filter import top_share
from tests.curator.fasttext_file import write_model as write_fasttext

FLOATS = st.floats(width=32, allow_nan=False)


@given(st.lists(FLOATS, min_size=1), st.booleans(), st.data())
def test_keys_rank_as_the_scores_do_and_counting_finds_the_wanted_one(scores, lowest, data):
    values = np.array(scores, np.float32) + np.float32(0)
    keys = top_share._keys(values, lowest)
    assert (top_share._scores(keys, lowest) == values).all()
    order = np.sort(values) if lowest else np.sort(values)[::-1]
    assert (top_share._scores(np.sort(keys), lowest) == order).all()
    wanted = data.draw(st.integers(1, len(scores)))
    high, left = top_share._last(np.bincount(keys >> 16, minlength=1 << 16), wanted)
    low, _ = top_share._last(np.bincount(keys[keys >> 16 == high] & 0xFFFF, minlength=1 << 16), left)
    assert high << 16 | low == int(np.sort(keys)[wanted - 1])


@pytest.mark.parametrize(("best", "share"), [("highest", 0.3), ("lowest", 0.25), ("highest", 1.0)])
def test_a_run_keeps_what_sorting_would(tmp_path, best, share):
    scores = [None if i % 9 == 0 else math.floor(math.sin(i) * 20) / 4 for i in range(50)]
    for part in range(2):
        rows = [{"id": str(i), "text": f"t{i}", "s": s} for i, s in enumerate(scores) if i % 2 == part]
        (tmp_path / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stages = [
        curator.ReadJsonl(str(tmp_path / "*.jsonl"), keep=("s:float32",)),
        curator.TopShare("s", share, best),
        curator.ExactDedup(),
    ]
    for name, options in (("one", {"workers": 0}), ("two", {"workers": 0, "batch_mb": 0.00001})):
        curator.Pipeline(stages).run(str(tmp_path / name), **options)
    known = sorted((s for s in scores if s is not None), reverse=best == "highest")
    limit = known[math.ceil(share * len(known)) - 1]
    worse = {str(i) for i, s in enumerate(scores) if s is not None and (s < limit if best == "highest" else s > limit)}
    ledger = [row for f in sorted((tmp_path / "one/ledger").iterdir()) for row in pq.read_table(f).to_pylist()]
    assert {row["id"] for row in ledger} == worse
    assert {(row["threshold"], row["reason"]) for row in ledger} == ({(limit, "not_in_share")} if worse else set())
    for file in sorted((tmp_path / "one").glob("*/*.parquet")):
        assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes()


@given(st.integers(1, 1000), st.integers(0, 10**9))
def test_a_share_is_what_it_says(thousandths, documents):
    assert top_share.wanted_of(thousandths / 1000, documents) == -(-thousandths * documents // 1000)


def test_the_best_tenth_by_a_classifier(tmp_path):
    model = write_fasttext(tmp_path / "two.bin", known={"hq": ["good"], "lq": ["bad"]})
    rows = [{"id": str(i), "text": "good " * i + "bad " * (40 - i)} for i in range(40)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stages = [
        curator.ReadJsonl(str(tmp_path / "a.jsonl")),
        curator.ClassifierFilter(model, min_score=None),
        curator.TopShare("quality_score", 0.1),
    ]
    curator.Pipeline(stages).run(str(tmp_path / "run"), workers=0)
    [file] = (tmp_path / "run/documents").iterdir()
    kept = pq.read_table(file)
    assert kept["id"].to_pylist() == ["36", "37", "38", "39"]
    [signals] = (tmp_path / "run/signals").iterdir()
    stored = pq.read_table(signals)
    assert len(stored) == 40
    assert stored["quality_score"].to_pylist() == stored["quality_score_ranked"].to_pylist()


def test_no_scores_at_all_keep_everything(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "a", "text": "t"}\n')
    stages = [curator.ReadJsonl(str(tmp_path / "a.jsonl"), keep=("s:float32",)), curator.TopShare("s")]
    curator.Pipeline(stages).run(str(tmp_path / "run"), workers=0)
    [file] = (tmp_path / "run/documents").iterdir()
    assert pq.read_table(file)["id"].to_pylist() == ["a"]


def test_a_share_out_of_range_is_refused():
    with pytest.raises(SpecError, match=r"TopShare.share is 10"):
        curator.TopShare("s", 10)
