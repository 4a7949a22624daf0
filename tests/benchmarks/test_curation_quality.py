"""The held-out set, the cloze items and the intervals of curated against raw."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.curation_quality import holdout, scoring, sources
from benchmarks.curation_quality.holdout import Held


@pytest.fixture
def bench(tmp_path):
    """Twenty documents: 0 copied as 10, 1 naturally near 2."""
    texts = [f"Document {i} begins here. " + " ".join(f"It has word{i}x{j}." for j in range(20)) for i in range(20)]
    pq.write_table(pa.table({"id": pa.array(range(20), pa.int64()), "text": texts}), tmp_path / "corpus.parquet")
    pq.write_table(pa.table({"copy_id": [10], "source_id": [0]}), tmp_path / "truth.parquet")
    pq.write_table(pa.table({"id_a": [1], "id_b": [2]}), tmp_path / "natural_pairs.parquet")
    (tmp_path / "html_gold").mkdir()
    (tmp_path / "html_gold" / "ground-truth.json").write_text(json.dumps({"a": {"articleBody": "News. " * 2000}}))
    (tmp_path / "text_en").mkdir()
    with gzip.open(tmp_path / "text_en" / "brown.jsonl.gz", "wt") as out:
        out.write(json.dumps({"id": "ca01", "text": "He said `` no evidence '' was found ."}) + "\n")
    return tmp_path


def test_nothing_with_a_near_duplicate_is_held_out(bench):
    held = holdout.drawn(bench, bench)
    assert {int(one.id) for one in held if one.part == "documents"} == set(range(20)) - {0, 1, 2, 10}
    assert held == holdout.drawn(bench, bench)
    assert [one.text for one in held if one.part == "brown"] == ['He said "no evidence" was found.']
    assert all(len(one.text.encode()) <= holdout.MAX_BYTES for one in held)


def test_planted_copies_are_in_no_arm_but_the_polluted_one(bench):
    given = bench / "corpus.parquet", bench / "truth.parquet"
    clean, planted = ({name for name, _ in sources.texts(*given, planted=which)} for which in (False, True))
    assert planted == {"10"}
    assert clean == {str(i) for i in range(20)} - planted


def test_a_cloze_item_has_the_sentence_that_follows_and_three_of_other_documents():
    texts = {f"d{i}": " ".join(f"Sentence {j} of the document number {i} is long enough to be asked." for j in range(9))
             for i in range(6)}  # fmt: skip
    items = list(holdout.cloze([Held("brown", name, text) for name, text in texts.items()]))
    assert len(items) == 6 * 7
    for item in items:
        true = item["choices"][item["label"]]
        owner = next(name for name, text in texts.items() if true in text)
        assert f"{item['context']} {true}" in texts[owner]
        assert len(set(item["choices"])) == holdout.CHOICES
        assert not any(other in texts[owner] for other in item["choices"] if other != true)


def test_a_part_of_the_held_out_set_counts_as_much_as_another():
    bits, sizes = np.array([10.0, 10.0, 90.0]), np.array([10.0, 10.0, 30.0])
    parts = np.array([0, 0, 2])
    assert scoring.bits_per_byte(bits, sizes, parts, np.arange(3)) == (1.0 + 3.0) / 2
    assert scoring.bits_per_byte(bits, sizes, parts, np.array([2])) == 3.0


def test_the_interval_of_equal_arms_is_nothing_and_that_of_a_mean_is_its_standard_error():
    draw = np.random.default_rng(1)
    values = draw.normal(5.0, 2.0, 400)
    parts = np.zeros(400, np.int64)
    same = scoring.estimate(lambda which: float((values - values)[which].sum()), parts, resamples=50)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    mean = scoring.estimate(lambda which: float(values[which].mean()), parts, resamples=2000)
    assert mean.high - mean.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
