"""Updates that are not finite: left out, counted, written down, and at last too many."""

import json

import pytest

from pretrain.errors import TrainingError
from tests.align.run.runs import configuration, data, events, lines, run, steps, weights

BURSTS = {"optimizer": {"lr": 1e38}}  # the first update leaves weights with which nothing is finite


def test_a_bad_batch_is_left_out_and_its_examples_are_named(base, tmp_path):
    config = configuration("sft", base, data(tmp_path, "messages"), **BURSTS, guard={"max_bad_steps": 3})
    run(config, tmp_path)
    assert steps(tmp_path, "skipped") == [False, True, True, True]
    assert [line["loss"] for line in lines(tmp_path)][1:] == [None, None, None]
    found = events(tmp_path, "bad_batch")
    assert [one["step"] for one in found] == [2, 3, 4]
    assert set(found[0]["not_finite"]) == {"nll", "loss", "grad_norm"}
    assert len(set(found[0]["examples"])) == 4
    assert json.loads((tmp_path / "bad_batches" / "step-2.json").read_text())["examples"] == found[0]["examples"]


def test_too_many_end_the_run_and_the_count_survives_a_restart(base, tmp_path):
    path = data(tmp_path, "messages")
    sections = {**BURSTS, "guard": {"max_bad_steps": 2}, "checkpoint": {"every_steps": 1}}
    config = configuration("sft", base, path, **sections)
    run(config, tmp_path, kill_in=4)
    named = r"step 4: .*loss.* not finite; 3 bad batches are more than guard.max_bad_steps 2. Examples of this one: "
    with pytest.raises(TrainingError, match=named + r"\S+, \S+, \S+ and 1 more; all: .*step-4.json"):
        run(config, tmp_path)


def test_a_critic_whose_updates_are_not_finite_is_seen(base, tmp_path):
    sections = {
        "ppo": {"critic_lr": 1e38}, "rewards": [{"pattern": {"tokens": [20]}}], "training": {"steps": 2},
        "optimizer": {"lr": 1e-3},
    }  # fmt: skip
    run(configuration("ppo", base, data(tmp_path, "prompts"), **sections), tmp_path)
    assert steps(tmp_path, "skipped") == [False, True]
    assert "critic/loss" in events(tmp_path, "bad_batch")[0]["not_finite"]
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path).values())
