"""Rewards from a configuration: weighed, added up, and what is wrong with them said."""

from __future__ import annotations

import numpy as np
import pytest

from align.errors import AlignError, AlignSettingsError, RewardError
from align.rewards import compose as module
from align.rewards.compose import Rewards, Weighted, compose
from tests.align.rewards.made import completion


def test_the_sum_is_weighed_and_each_is_kept_as_it_is():
    rewards = compose(
        [
            {"math": {}},
            {"length": {"target": 10, "weight": 0.5}},
            {"math": {"name": "marked", "marked": True, "weight": -2}},
        ]
    )
    scores = rewards.score([completion("72", answer="72", tokens=5), completion(r"\boxed{72}", answer="72", tokens=10)])
    assert {name: values.tolist() for name, values in scores.by_name.items()} == {
        "math": [1, 1], "length": [-0.5, 0], "marked": [0, 1],
    }  # fmt: skip
    assert scores.total.tolist() == [0.75, -1.0]
    assert scores.total.dtype == np.float64


def test_no_rewards_and_no_completions():
    assert compose([]).score([completion()]).total.tolist() == [0.0]
    assert compose([{"math": None}]).score([]).total.tolist() == []


@pytest.mark.parametrize(
    ("specs", "said"),
    [
        ([{"maths": {}}], r"rewards[0]: no reward is called maths. Did you mean math? Rewards: math, format, length,"),
        ([{"math": {}}, {"length": {"sofft": 3}}], "rewards[1].length: Length has no field sofft. Did you mean soft?"),
        ([{"math": {"right": "high"}}], "rewards[0].math: Math.right is 'high'; it must be float"),
        ([{"length": {}}], "rewards[0].length: reward length needs either target, or soft and hard"),
        (["math"], "rewards[0] is 'math'; it must be one kind with its settings, such as {math: {}}"),
        ([{"math": {}, "length": {}}], "it must be one kind with its settings"),
        ([{"math": 3}], "rewards[0].math is 3; it must be a mapping of settings"),
        ([{"math": {}}, {"math": {}}], "rewards[1]: two rewards are called math; give one another name"),
        ([{"math": {"weight": "much"}}], "rewards[0].math: weight is 'much'; it must be float"),
        ([{"math": {"weight": float("inf")}}], "weight is inf; it must be a finite number"),
        ([{"python": {}}], "rewards[0].python: Python needs function"),
        ([{"model": {"start_from": "x"}}], "rewards[0].model: a reward model is opened by a run alone"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(specs, said):
    with pytest.raises(AlignSettingsError) as raised:
        compose(specs)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


class Given:
    name = "given"

    def __init__(self, values: object):
        self.values = values

    def __call__(self, completions: object) -> object:
        if isinstance(self.values, Exception):
            raise self.values
        return self.values


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0], "reward mine gave 1 values for 2 completions"),
        ([1.0, 2.0, 3.0], "reward mine gave 3 values for 2 completions"),
        ([1.0, float("nan")],
        "reward mine is nan for completion 1 of record b (prompt 'a task'); it must be a finite number"),
        ([float("-inf"), 1], "reward mine is -inf for completion 0 of record a"),
        ([1, None], "reward mine is None for"),
        (ZeroDivisionError("by\nzero"), "reward mine failed among 2 completions from completion 0 of record a (prompt "
         "'a task') on: ZeroDivisionError: by"),
    ],
)  # fmt: skip
def test_values_that_are_no_rewards_are_refused(values, said):
    rewards = Rewards([Weighted("mine", 1.0, Given(values))])
    with pytest.raises(RewardError) as raised:
        rewards.score([completion(id="a"), completion(id="b")])
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_long_prompts_are_cut_in_messages():
    with pytest.raises(AlignError) as raised:
        Rewards([Weighted("mine", 1.0, Given([None]))]).score([completion(prompt="long " * 1000)])
    assert len(str(raised.value)) < 200


def test_every_kind_can_be_imported():
    import importlib

    for place in module.KINDS.values():
        name, _, cls = place.partition(":")
        assert hasattr(importlib.import_module(name), cls)
