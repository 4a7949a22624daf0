"""ClassifierFilter on a model whose every number is known."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from curator import ClassifierFilter, fingerprint, frames
from curator.errors import ModelError, SpecError
from curator.filter.classifier import draws, pareto_reach
from tests.curator.fasttext_file import SKIPGRAM, write_model

TEXTS = ["abba cab ebe", "vow xyz", "abba cab vow", "", None, " \n\t", "abba\nvow", "no word of it"]


def frame_of(texts):
    frame = frames.from_arrow(pa.table({"text": pa.array(texts, pa.large_string())}))
    frame.index = range(5, 5 + len(texts))
    return frame


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "two.bin")


def test_the_score_is_the_probability_of_the_label(model):
    measured = ClassifierFilter(model, label="aa", name="web").measure(frame_of(TEXTS))
    even = 1 / (1 + math.exp(-1))  # softmax of the mean (2, 1)
    sure = 1 / (1 + math.exp(-3))
    assert measured["web_score"].tolist() == pytest.approx([sure, 1 - sure, even, 0, 0, 0, 0.5, 0], abs=1e-4)
    other = ClassifierFilter(model, label="zz").measure(frame_of(TEXTS))
    assert other["quality_score"].tolist() == pytest.approx([1 - sure, sure, 1 - even, 0, 0, 0, 0.5, 0], abs=1e-4)
    assert measured.index.tolist() == list(range(5, 13))


def test_case_counts_unless_asked(model):
    upper = ClassifierFilter(model, label="aa").measure(frame_of(["ABBA"]))["quality_score"].iloc[0]
    lower = ClassifierFilter(model, label="aa", lowercase=True).measure(frame_of(["ABBA"]))["quality_score"].iloc[0]
    assert upper < 0.5 < lower


def masks(stage, frame):
    return {reason: mask.tolist() for reason, mask in stage.reject(stage.measure(frame)).items()}


def test_rules_are_off_where_there_is_no_limit(model):
    frame = frame_of(["abba", "vow"])
    assert masks(ClassifierFilter(model, label="aa"), frame) == {"low_score": [False, True]}
    assert masks(ClassifierFilter(model, label="aa", min_score=None), frame) == {}
    assert masks(ClassifierFilter(model, label="aa", min_score=None, max_score=0.5), frame) == {
        "high_score": [True, False]
    }


def test_pareto_keeps_as_many_as_numpy_would():
    """np.random.pareto(9) > 1 - score, the rule of GPT-3, against ours on the same number of draws."""
    rng = np.random.default_rng(4)
    for score in (0.0, 0.3, 0.7, 0.95, 1.0):
        reach = pareto_reach(np.full(200_000, score, np.float32), rng.random(200_000) + 2.0**-60)
        for alpha in (9, 3):
            theirs = np.mean(rng.pareto(alpha, 200_000) > 1 - score)
            assert np.mean(reach >= alpha) == pytest.approx(theirs, abs=0.005), (score, alpha)
            assert theirs == pytest.approx((2 - score) ** -alpha, abs=0.005)


def test_each_draw_decides_as_its_own_pareto_number_would():
    uniform = np.random.default_rng(1).random(1000)
    score = np.random.default_rng(2).random(1000).astype(np.float32)
    for alpha in (3.0, 9.0):
        drawn = uniform ** (-1 / alpha) - 1 > 1 - score.astype(np.float64)
        assert ((pareto_reach(score, uniform) >= alpha) == drawn).all()


def test_draws_follow_from_text_and_seed_alone():
    texts = pa.array([f"text {i}" for i in range(20_000)] + [None, "text 1"], pa.large_string())
    drawn = draws(texts, 7)
    assert drawn[-1] == drawn[1]
    assert (draws(texts.take(pa.array([5, 1])), 7) == drawn[[5, 1]]).all()
    assert not (draws(texts, 8)[:-2] == drawn[:-2]).any()
    assert ((drawn > 0) & (drawn < 1)).all()
    assert np.histogram(drawn, 10, (0, 1))[0] == pytest.approx(np.full(10, 2000), abs=200)


def test_the_ledger_says_score_and_limit(model):
    stage = ClassifierFilter(model, label="aa", pareto_alpha=9.0)
    measured = stage.measure(frame_of(["vow"]))
    assert stage.explain(measured, "low_score")["threshold"] == 0.5
    assert stage.explain(measured, "score_drawn")["value"].tolist() == measured["quality_pareto"].tolist()
    assert stage.stored() == {"quality_pareto": "float64", "quality_score": "float32"}


def test_a_label_the_model_does_not_have_is_named_before_anything_is_read(model):
    with pytest.raises(ModelError, match=r"'aaa', which .*two.bin does not have. Did you mean aa\? It has 2: aa, zz$"):
        ClassifierFilter(model, label="aaa").check("")


def test_a_bad_model_file_is_one_clear_line(tmp_path):
    (tmp_path / "bad.bin").write_bytes(b"no model")
    write_model(tmp_path / "words.bin", SKIPGRAM)
    for name, said in (("bad.bin", "is not a fastText"), ("words.bin", "expected a superv"), ("no.bin", "there is no")):
        with pytest.raises(ModelError, match=said) as caught:
            ClassifierFilter(str(tmp_path / name)).check("")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"), [({"name": "a b"}, "name is 'a b'"), ({"pareto_alpha": 0.0}, "alpha"), ({"seed": -1}, "seed")]
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(SpecError, match=said):
        ClassifierFilter("m.bin", **settings)


def test_another_model_is_another_fingerprint(tmp_path, model):
    before = fingerprint.of_stage(ClassifierFilter(model, label="aa"))
    write_model(tmp_path / "two.bin", known={"zz": ["abba"], "aa": ["vow"]})
    assert fingerprint.of_stage(ClassifierFilter(model, label="aa")) != before
