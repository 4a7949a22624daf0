"""A run that was killed and goes on is, line by line and bit by bit, the one that never stopped."""

import json

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from align.run.train import train
from tests.align.run.runs import alone, configuration, data, events, lines, run, same, steps

REWARDS = {"rewards": [{"pattern": {"tokens": list(range(20, 60))}}]}
EVERY_TWO = {"checkpoint": {"every_steps": 2}}
CASES = {
    "sft": ("sft", "messages", {"training": {"steps": 6, "global_batch": 6}}),  # 16 examples: 2 of 3 steps an epoch
    "sft with adapters": ("sft", "messages", {"model": {"peft": {"kind": "lora", "dropout": 0.2}}}),
    "dpo": ("dpo", "preference", {"training": {"steps": 6, "global_batch": 6}, "data": {"validation_share": 0.2}}),
    "kto": ("kto", "kto", {}),
    "grpo": ("grpo", "prompts", {**REWARDS, "grpo": {"beta": 0.1, "minibatches": 2, "epochs": 2}}),
    "grpo that draws again": ("grpo", "prompts", {**REWARDS, "grpo": {"dynamic_sampling": True, "group_size": 2}}),
    "ppo": ("ppo", "prompts", {**REWARDS, "ppo": {"group_size": 2, "minibatches": 2, "critic_warmup": 1}}),
    "spin": ("spin", "messages", {"spin": {"iterations": 2}, "training": {"steps": 8}}),
    "distillation": ("distillation", "messages", {"distillation": {"on_policy": 0.5}}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_goes_on_as_if_it_had_not_been(case, base, other, tmp_path):
    method, kind, sections = CASES[case]
    sections = {"training": {"steps": 6}, **EVERY_TWO, **sections}
    if method == "distillation":
        sections["distillation"] = {**sections["distillation"], "teacher": other}
    config = configuration(method, base, data(tmp_path, kind), **sections)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(config, whole)
    run(config, broken, kill_in=4)  # step 3 was taken, and is not saved
    assert len(steps(broken, "lr")) == 3
    run(config, broken)
    assert [one["step"] for one in events(broken, "restore") if "goes on" in one["message"]] == [2]
    assert lines(broken) == lines(whole)
    assert same(broken, whole)
    samples = [(folder / "samples.jsonl") for folder in (whole, broken)]
    assert samples[0].exists() == (method in ("grpo", "ppo", "spin"))
    assert not samples[0].exists() or samples[0].read_text() == samples[1].read_text()


def test_a_signal_saves_and_ends_and_the_run_goes_on(base, tmp_path):
    config = configuration("sft", base, data(tmp_path, "messages"))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(config, whole)
    run(config, broken, signal_in=2)  # heard as step 3 begins, before which no rank could know that all will stop
    assert [one["signal"] for one in events(broken, "signal")] == ["SIGTERM"]
    assert len(steps(broken, "lr")) == 3
    assert not (broken / "hf").exists()
    run(config, broken)
    assert lines(broken) == lines(whole)
    assert same(broken, whole)


def test_a_run_that_is_done_is_handed_on_again_and_loads(base, tmp_path):
    config = configuration("sft", base, data(tmp_path, "messages"))
    run(config, tmp_path)
    before = lines(tmp_path)
    run(config, tmp_path)
    assert lines(tmp_path) == before
    assert len(events(tmp_path, "export")) == 2
    model, names = (kind.from_pretrained(tmp_path / "hf") for kind in (AutoModelForCausalLM, AutoTokenizer))
    asked = names.apply_chat_template([{"role": "user", "content": "say fox 1"}], return_tensors="pt", return_dict=True)
    assert model(**asked).logits.isfinite().all()


def test_more_steps_go_on_from_the_end_with_the_reference_of_the_beginning(base, tmp_path):
    path = data(tmp_path, "preference")
    short, whole = (configuration("dpo", base, path, training={"steps": n, "global_batch": 4}) for n in (2, 4))
    run(whole, tmp_path / "whole")
    run(short, tmp_path / "run")
    run(whole, tmp_path / "run")  # its cache lacks what the further steps read
    assert steps(tmp_path / "run", "loss") == pytest.approx(steps(tmp_path / "whole", "loss"), rel=1e-6)


def test_the_references_cache_of_another_model_is_not_believed(base, other, tmp_path):
    path = data(tmp_path, "preference")
    run(configuration("dpo", base, path), tmp_path, kill_in=1)
    cache = tmp_path / "work" / "reference.npz"
    before = cache.read_bytes()
    run(configuration("dpo", other, path), tmp_path)
    assert cache.read_bytes() != before
    assert steps(tmp_path, "loss")[0] == pytest.approx(0.6931, abs=1e-4)


def test_settings_of_what_is_learnt_may_change_between_attempts(base, tmp_path):
    path = data(tmp_path, "messages")
    run(configuration("sft", base, path, **EVERY_TWO), tmp_path, kill_in=4)
    run(configuration("sft", base, path, optimizer={"lr": 1e-4}), tmp_path)
    assert steps(tmp_path, "lr") == [1e-3, 1e-3, 1e-4, 1e-4]
    said = [one["message"] for one in events(tmp_path, "restore")]
    assert "optimizer.lr 0.001 in the checkpoint, 0.0001 in the configuration" in said
    assert len(said) == 3  # and checkpoint.every_steps, and where it goes on from


def test_another_loss_goes_on_and_is_announced(base, tmp_path):
    path = data(tmp_path, "preference")
    run(configuration("dpo", base, path, **EVERY_TWO), tmp_path, kill_in=4)
    run(configuration("dpo", base, path, **EVERY_TWO, dpo={"loss": "ipo"}), tmp_path)
    said = [one["message"] for one in events(tmp_path, "restore")]
    assert said[0] == "dpo.loss dpo in the checkpoint, ipo in the configuration"
    assert len(said) == 2


def test_the_loop_reads_nothing_but_the_runs_folder(base, tmp_path):
    from align.config import Config
    from millrace.config import build

    run(configuration("sft", base, data(tmp_path, "messages")), tmp_path, kill_in=1)
    given = json.loads((tmp_path / "run.json").read_text())["config"]
    train(build(Config, given), str(tmp_path), alone())
    assert len(steps(tmp_path, "lr")) == 4
