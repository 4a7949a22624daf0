"""Preference pairs and a reward model."""

import numpy as np
import pytest

from serve.errors import EvaluationError, ServeSettingsError
from serve.evaluate.interval import wilson
from serve.evaluate.local.reward import Reward
from serve.evaluate.tasks import make
from serve.model import find
from tests.serve.evaluate.judged import pairs, reward_model, write


@pytest.fixture(scope="module")
def rater(tmp_path_factory):
    return Reward.load(find(reward_model(tmp_path_factory.mktemp("rater"))))


def run(subject, path, **settings):
    task = make("reward_accuracy", {"path": path, **settings})
    return task.run(subject, task.read())


def test_pairs_count_as_the_rewards_of_their_sides_say(rater, tmp_path):
    path, records = pairs(tmp_path)
    result = run(rater, path)
    chosen = np.array(rater.rewards([(one["prompt"], one["chosen"][0]["content"]) for one in records]))
    rejected = np.array(rater.rewards([(one["prompt"], one["rejected"][0]["content"]) for one in records]))
    right = chosen > rejected
    assert 0 < right.sum() < 12
    assert result.values["acc"].tolist() == right.tolist()
    assert result.values["margin"] == pytest.approx(chosen - rejected, abs=1e-5)
    assert result.measures["acc"].value == right.mean()
    assert result.measures["acc"].stderr == pytest.approx(right.std(ddof=1) / np.sqrt(12))
    assert result.measures["acc"].interval == wilson(right.sum(), 12)
    hard = np.array([one["subset"] == "hard" for one in records])
    assert result.measures["acc/hard"].value == right[hard].mean()
    assert result.measures["acc/easy"].value == right[~hard].mean()
    assert (result.items, result.task, list(result.files)) == (12, "reward_accuracy", ["pairs.jsonl"])


def test_the_other_way_round_the_rest_is_right_and_ties_are_half(rater, tmp_path):
    path, records = pairs(tmp_path)
    turned = [one | {"chosen": one["rejected"], "rejected": one["chosen"]} for one in records]
    assert run(rater, write(tmp_path / "turned.jsonl", turned)).measures["acc"].value == pytest.approx(
        1 - run(rater, path).measures["acc"].value
    )
    head = rater._model.score.weight
    kept = head.detach().clone()
    try:
        head.data.zero_()  # every reward is 0
        result = run(rater, path)
    finally:
        head.data.copy_(kept)
    assert (result.measures["acc"].value, result.counts) == (0.5, {"ties": 12})


def test_sides_of_several_turns_are_rated_by_their_last(rater, tmp_path):
    turn = [{"role": "assistant", "content": "one"}, {"role": "user", "content": "two"}]
    record = {"prompt": "zero", "chosen": [*turn, {"role": "assistant", "content": "fox"}], "rejected": "dog"}
    result = run(rater, write(tmp_path / "a.jsonl", [record]))
    messages = [{"role": "user", "content": "zero"}]
    expected = rater.rewards([([*messages, *turn], "fox"), (messages, "dog")])
    assert result.values["margin"] == pytest.approx([expected[0] - expected[1]], abs=1e-5)
    assert result.measures["acc"].stderr is None


def test_what_cannot_be_rated(language, rater, tmp_path):
    path, records = pairs(tmp_path)
    with pytest.raises(EvaluationError, match="is a language model; this task needs a reward model"):
        run(language, path)
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    with pytest.raises(EvaluationError, match=r"b.jsonl:1: an answer calls tools"):
        run(rater, write(tmp_path / "b.jsonl", [records[0] | {"chosen": [call]}]))
    with pytest.raises(ServeSettingsError, match="must be 0 or more"):
        make("reward_accuracy", {"path": path, "limit": -1})
