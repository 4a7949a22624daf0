"""Training a fastText classifier: what is learnt, that it is the same each time, and what is refused."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curator import ClassifierFilter, TrainQualityClassifier, frames
from curator.errors import InputError, ModelError, SpecError
from curator.filter import metrics
from curator.filter.prepared import prepared
from curator.filter.train_classifier import train
from millrace.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
SMALL = {"buckets": 1000, "dim": 10, "epochs": 20}


def texts(words, count, seed, begin=""):
    rng = random.Random(seed)
    return [begin + " ".join(rng.choices(words, k=12)) for _ in range(count)]


GOOD = texts("river valley harvest library museum the of and".split(), 120, 1)
BAD = texts("buy cheap click now winner free the of and".split(), 80, 2)


def array(*values):
    return [pa.array(list(values), pa.large_string())]


def trained(path, good=GOOD, bad=BAD, **settings):
    return train(TrainQualityClassifier(**{**SMALL, **settings}), array(*good), array(*bad), str(path))


def test_learns_to_tell_the_sets_apart_and_says_so(tmp_path):
    record = trained(tmp_path / "m.bin", [*GOOD, GOOD[0], "", None, " \n"])
    assert json.loads((tmp_path / "m.bin.json").read_text()) == record
    assert record["sets"]["hq"]["given"] == 124
    assert record["sets"]["hq"]["blank"] == 3
    assert record["sets"]["hq"]["distinct"] == 120
    assert record["holdout"]["positive"] == record["sets"]["hq"]["held_out"] > 3
    assert record["holdout"]["documents"] == sum(one["held_out"] for one in record["sets"].values())
    assert record["holdout"]["roc_auc"] == 1.0
    assert record["settings"]["epochs"] == 20
    scores = score(tmp_path / "m.bin", [*GOOD, *BAD])
    assert min(scores[: len(GOOD)]) > 0.5 > max(scores[len(GOOD) :])


def score(model, given):
    frame = frames.from_arrow(pa.table({"text": pa.array(given, pa.large_string())}))
    return ClassifierFilter(str(model)).measure(frame)["quality_score"].tolist()


def test_metrics_are_those_of_texts_that_were_not_learnt_from(tmp_path):
    """Words that only texts held out could teach: their scores would be right if they had been seen."""
    rng = random.Random(5)
    noise = [f"w{rng.randrange(10**9)} x{rng.randrange(10**9)} y{rng.randrange(10**9)}" for _ in range(600)]
    record = trained(tmp_path / "m.bin", noise[:300], noise[300:], holdout=0.3)
    assert 0.35 < record["holdout"]["roc_auc"] < 0.65
    seen = np.array(score(tmp_path / "m.bin", noise))
    assert metrics.roc_auc(seen, np.arange(600) < 300) > 0.8


def test_same_bytes_whatever_memory_held_before_and_whatever_the_order_of_texts(tmp_path):
    trained(tmp_path / "a.bin")
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "dirt = [b'\\xff' * n for n in range(20_000, 60_000, 16)]; del dirt\n"
        "from tests.curator.filter.test_train_classifier import *\n"
        f"trained({str(tmp_path / 'b.bin')!r}, GOOD[::-1], BAD[::-1])"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()
    assert (tmp_path / "a.bin.json").read_bytes() == (tmp_path / "b.bin.json").read_bytes()
    trained(tmp_path / "c.bin", seed=1)
    assert (tmp_path / "a.bin").read_bytes() != (tmp_path / "c.bin").read_bytes()


def test_a_text_is_one_line_without_words_that_mean_something_to_fasttext(tmp_path):
    said = prepared(pa.array(["A\nb </s> __label__lq c\r\n", None]), False).to_pylist()
    assert said == ["A b   labellq c\r ", None]
    assert prepared(pa.array(["A </S> __LABEL__É"]), True).to_pylist() == ["a   labelé"]
    nested = ["____label____hq", "_____label__label__x", "<</s>/s>", "__label____label__", "a__label__b_label_"]
    said = prepared(pa.array(nested), False).to_pylist()
    assert said == ["label__hq", "labellabel__x", "< /s>", "labellabel", "alabelb_label_"]
    record = trained(tmp_path / "m.bin", texts(["river", "valley"], 90, 1, "__label__spam </s>\n"))
    assert record["holdout"]["roc_auc"] == 1.0  # what stands behind </s> and the line end was read
    with pytest.raises(ModelError, match="It has 2: hq, lq"):
        ClassifierFilter(str(tmp_path / "m.bin"), label="spam").check("")


def test_a_model_is_used_as_it_was_trained(tmp_path):
    path = tmp_path / "m.bin"
    trained(path, lowercase=True)
    with pytest.raises(ModelError, match=r"m.bin was trained with lowercase: True; set ClassifierFilter.lowercase"):
        ClassifierFilter(str(path)).check("")
    ClassifierFilter(str(path), lowercase=True).check("")
    record = path.with_name("m.bin.json")
    said = json.loads(record.read_text())
    record.write_text(json.dumps(said | {"preparation": {"version": 0, "lowercase": True}}))
    path.touch()
    with pytest.raises(ModelError, match="prepared another way"):
        ClassifierFilter(str(path), lowercase=True, name="b").check("")


def test_the_record_of_another_model_is_noticed(tmp_path):
    trained(tmp_path / "m.bin")
    trained(tmp_path / "n.bin", seed=1)
    (tmp_path / "n.bin.json").replace(tmp_path / "m.bin.json")
    with pytest.raises(ModelError, match=r"m.bin.json is the record of another model"):
        ClassifierFilter(str(tmp_path / "m.bin")).check("")
    (tmp_path / "m.bin.json").write_text("[]")
    with pytest.raises(ModelError, match=r"m.bin.json is not the record"):
        ClassifierFilter(str(tmp_path / "m.bin")).check("")


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        (GOOD, [*BAD, GOOD[7]], "1 texts are both hq and lq, such as '"),
        (GOOD, ["", None], r"the set of lq has no text \(2 documents, 2 of them blank\)"),
        ([], BAD, r"the set of hq has no text \(0 documents"),
        (GOOD, BAD[:1], "of the 1 texts of lq none is"),
    ],
)
def test_sets_that_cannot_be_learnt_from_are_refused_in_a_line(tmp_path, good, bad, said):
    with pytest.raises(InputError, match=said) as caught:
        trained(tmp_path / "m.bin", good, bad)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_fasttext_cannot_learn_from_is_said(tmp_path):
    with pytest.raises(ModelError, match="fastText cannot learn from these sets: Encountered NaN"):
        trained(tmp_path / "m.bin", learning_rate=1e30)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"other": "hq"}, "label and other are both 'hq'"),
        ({"label": "high quality"}, "'high quality' cannot be a label"),
        ({"label": "__label__x"}, "cannot be a label"),
        ({"holdout": 0.0}, "holdout is 0.0; it must be above 0"),
        ({"dim": 0}, "dim is 0; it must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"seed": -1}, "seed is -1"),
        ({"epochs": "many"}, "epochs is 'many'; it must be int"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        TrainQualityClassifier(**settings)
    assert issubclass(SpecError, ConfigError)
