"""Two ranks come to what one does, whatever they hold; and what one of them lacks."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from align.rollout.engines import VLLM
from tests.align.rollout.server import Server
from tests.align.run.runs import configuration, data, events, lines, run, same, steps, weights
from tests.pretrain.mcore import ranks

REWARDS = {"rewards": [{"pattern": {"tokens": list(range(20, 60))}}]}
pytestmark = pytest.mark.slow  # a minute
TWO = {"parallel": {"ranks": 2}}
CASES = {  # method, data, sections; what one rank does as well
    "sft": ("sft", "messages", {"checkpoint": {"every_steps": 2}, "data": {"validation_share": 0.2}}),
    "dpo": ("dpo", "preference", {"data": {"validation_share": 0.2}}),
    "grpo": ("grpo", "prompts", {**REWARDS, "training": {"steps": 2}}),
    "ppo": ("ppo", "prompts", {**REWARDS, "ppo": {"group_size": 2, "minibatches": 2}}),
}
APART = {"placement": {"actor": "0", "critic": "1", "reference": "1", "reward": "0", "generate": "0"}}
AHEAD = {
    **REWARDS, **TWO, "rollouts": {"asynchronous": True}, "checkpoint": {"every_steps": 2}, "training": {"steps": 6},
    "placement": {"actor": "0", "critic": "0", "reference": "0", "reward": "0", "generate": "1"},
    "optimizer": {"lr": 1e-2},
}  # fmt: skip


@pytest.fixture(scope="module")
def root(base, tmp_path_factory):
    """Return the folder in which two ranks ran every case, one rank some of them."""
    root = tmp_path_factory.mktemp("ranks")
    paths = {kind: data(root, kind) for kind in ("messages", "preference", "prompts")}
    made = []

    def add(name, method, kind, sections, **more):
        given = {**sections}
        if "data" in given:
            given["data"] = {"path": paths[kind], **given["data"]}
        config = configuration(method, base, paths[kind], **given)
        made.append({"config": config.as_dict(), "folder": str(root / name), **more})
        return config

    for name, (method, kind, sections) in CASES.items():
        run(add(name, method, kind, {**sections}), root / f"one-{name}")
        made.pop()
        add(name, method, kind, {**sections, **TWO, **(APART if name == "ppo" else {})})
    sft = {**CASES["sft"][2], **TWO}
    add("broken", "sft", "messages", sft, kill_in=4)
    add("broken", "sft", "messages", sft)
    several = {**CASES["ppo"][2], **TWO, "checkpoint": {"every_steps": 1}}
    add("full", "ppo", "prompts", several, full_in=2)
    add("ahead", "grpo", "prompts", AHEAD)
    add("ahead-broken", "grpo", "prompts", AHEAD, kill_in=4)
    add("ahead-broken", "grpo", "prompts", AHEAD)
    with Server(AutoModelForCausalLM.from_pretrained(base), VLLM) as server:
        sections = {"engine": "http", "url": server.url}
        add("served", "grpo", "prompts", {**CASES["grpo"][2], **TWO, "rollouts": sections})
        ranks.run(2, f"{__package__}.on_ranks:several", json.loads(json.dumps(made)))
        (root / "served" / "asked.json").write_text(json.dumps(server.asked | {"at once": server.most_at_once}))
    return root


def test_two_ranks_share_one_server(root):
    assert steps(root / "served", "reward") == pytest.approx(steps(root / "one-grpo", "reward"))
    asked = json.loads((root / "served" / "asked.json").read_text())
    assert asked["/collective_rpc"] == 3  # weights of the beginning, and after each step, told once
    assert asked["at once"] > 8  # more than a chunk of completions of the trainer's own engine


@pytest.mark.parametrize("name", ["sft", "dpo", "grpo"])
def test_two_ranks_come_to_what_one_does(name, root):
    for metric in ("loss", "grad_norm", "validation/loss", "reward"):
        assert steps(root / name, metric) == pytest.approx(steps(root / f"one-{name}", metric), rel=1e-3, abs=1e-5)
    one, two = weights(root / f"one-{name}"), weights(root / name)
    for key, tensor in one.items():
        torch.testing.assert_close(two[key], tensor, atol=2e-4, rtol=0)


def test_a_critic_and_a_reference_on_a_rank_of_their_own_change_nothing(root):
    assert lines(root / "ppo") == lines(root / "one-ppo")
    assert same(root / "ppo", root / "one-ppo")
    saved = root / "ppo" / "checkpoints" / "step-00000004"
    assert (saved / "actor").is_dir()
    assert (saved / "critic").is_dir()


@pytest.mark.parametrize(("broken", "whole"), [("broken", "sft"), ("ahead-broken", "ahead")])
def test_two_ranks_go_on_bit_for_bit(broken, whole, root):
    assert [one["step"] for one in events(root / broken, "restore") if "goes on" in one["message"]] == [2]
    assert lines(root / broken) == lines(root / whole)
    assert same(root / broken, root / whole)


def test_a_rank_without_room_costs_one_save_of_all_models(root):
    saves = events(root / "full", "save")
    assert [("error" in one, one["step"]) for one in saves] == [(False, 1), (True, 2), (False, 3), (False, 4)]
    assert saves[1]["error"].startswith("rank 1: ")
    assert "File too large" in saves[1]["error"]
    kept = sorted(path.name for path in (root / "full" / "checkpoints").iterdir())
    assert kept == ["latest", "step-00000003", "step-00000004"]


def test_completions_drawn_ahead_are_one_version_old_and_weighed(root):
    assert steps(root / "ahead", "rollout_lag") == [0, 1, 1, 1, 1, 1]
    weighed = steps(root / "ahead", "importance")
    assert weighed[0] == pytest.approx(1, abs=1e-5)
    assert all(abs(one - 1) > 1e-5 for one in weighed[1:])
    assert steps(root / "ahead", "ratio_error_max")[1] > 1.01  # no reason to stop: the weights differ, not the engines
