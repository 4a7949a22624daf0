"""Toy tasks whose outcome is known: every method learns them."""

import pytest

from align.run.attributes import labels
from tests.align import tiny
from tests.align.methods import scorers
from tests.align.run.runs import configuration, data, run, steps

WANTED = range(20, 60)  # tokens that are rewarded: 40 of 320
ONLINE = {
    "rewards": [{"pattern": {"tokens": list(WANTED)}}],
    "rollouts": {"max_tokens": 4},
    "training": {"steps": 32, "micro_tokens": 2048},
    "optimizer": {"lr": 1e-2},
}
CASES = {
    **{f"grpo {loss}": {"grpo": {"loss": loss, "minibatches": 2}}
       for loss in ("grpo", "bnpo", "dapo", "dr_grpo", "gspo", "cispo")},
    "grpo with a reference": {"grpo": {"beta": 1e-3, "baseline": "leave_one_out", "scale": "none"}},
    "ppo": {"ppo": {"group_size": 4, "critic_lr": 1e-2, "kl": 1e-3, "critic_warmup": 1}},
    "reinforce": {"reinforce": {"group_size": 8, "kl": 1e-3}},
    "rejection_sampling": {"rejection_sampling": {"iterations": 8, "group_size": 8}},
}  # fmt: skip
QUICK = ("grpo dapo", "ppo", "reinforce", "rejection_sampling")


@pytest.mark.parametrize(
    "case", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_rewards_rise_from_chance_to_almost_all(case, base, tmp_path):
    method = case.split()[0]
    run(configuration(method, base, data(tmp_path, "prompts"), **ONLINE, **CASES[case]), tmp_path)
    before, after = steps(tmp_path, "validation/reward")
    assert before < 0.3
    assert after > 0.9


def test_a_reward_models_scores_are_learnt(base, tmp_path):
    scorer = scorers.last_token(tmp_path / "scorer", WANTED)
    sections = {**ONLINE, "rewards": [], "ppo": {"reward_model": scorer, "group_size": 4, "critic_lr": 1e-2}}
    run(configuration("ppo", base, data(tmp_path, "prompts"), **sections), tmp_path)
    assert steps(tmp_path, "reward")[0] < 2
    assert steps(tmp_path, "validation/reward")[-1] > 3.2


@pytest.mark.parametrize(
    ("method", "kind", "settings"),
    [
        ("dpo", "preference", {}),
        ("dpo", "preference", {"dpo": {"loss": "simpo"}}),
        ("dpo", "preference", {"model": {"peft": {"kind": "lora"}}}),
        ("kto", "kto", {}),
        ("reward_model", "preference", {}),
    ],
)
def test_what_can_be_told_apart_is(method, kind, settings, base, tmp_path):
    sections = {"training": {"steps": 8}, "optimizer": {"lr": 5e-3}, **settings}
    run(configuration(method, base, data(tmp_path, kind), **sections), tmp_path)
    assert steps(tmp_path, "accuracy")[-1] > 0.9
    assert steps(tmp_path, "loss")[-1] < 0.8 * steps(tmp_path, "loss")[0]


def test_ratings_are_learnt(base, tmp_path):
    sections = {"reward_model": {"loss": "regression"}, "training": {"steps": 60}, "optimizer": {"lr": 3e-3}}
    run(configuration("reward_model", base, data(tmp_path, "helpsteer"), **sections), tmp_path)
    assert steps(tmp_path, "loss")[-1] < 0.1 < steps(tmp_path, "loss")[0]
    assert labels(str(tmp_path / "hf")) == ["helpfulness", "verbosity"]


def test_answers_are_learnt(base, tmp_path):
    sections = {"training": {"steps": 40}, "optimizer": {"lr": 1e-2}}
    run(configuration("sft", base, data(tmp_path, "messages"), **sections), tmp_path)
    assert steps(tmp_path, "loss")[-1] < 0.6 < 3 < steps(tmp_path, "loss")[0]


@pytest.mark.parametrize(
    ("settings", "left"),
    [({}, 0.2), ({"divergence": "backward", "top_k": 0}, 0.2), ({"on_policy": 1.0, "top_k": 0}, 0.7)],
)
def test_a_student_comes_near_its_teacher(settings, left, base, tmp_path):
    teacher = tiny.model(tmp_path / "teacher", seed=3, initializer_range=0.2)
    sections = {
        "distillation": {"teacher": teacher, **settings}, "training": {"steps": 24, "global_batch": 8},
        "optimizer": {"lr": 1e-2},
    }  # fmt: skip
    run(configuration("distillation", base, data(tmp_path, "messages"), **sections), tmp_path)
    losses = steps(tmp_path, "loss")
    assert losses[-1] < left * losses[0]


def test_self_play_tells_its_own_answers_from_the_datas(base, tmp_path):
    sections = {"spin": {"iterations": 2}, "training": {"steps": 12}, "optimizer": {"lr": 3e-3}}
    run(configuration("spin", base, data(tmp_path, "messages"), **sections), tmp_path)
    accuracy, phases = steps(tmp_path, "accuracy"), steps(tmp_path, "phase")
    assert phases == [1.0] * 6 + [2.0] * 6
    assert steps(tmp_path, "loss")[0] == steps(tmp_path, "loss")[6] == pytest.approx(0.6931, abs=1e-4)
    assert accuracy[0] == 0
    assert accuracy[5] > 0.9 < accuracy[11]


def test_completions_come_to_have_the_attributes_that_are_asked_for(base, tmp_path):
    scorer = scorers.last_token(tmp_path / "scorer", WANTED)
    path = tmp_path / "rated.jsonl"
    path.write_text("".join(f'{{"prompt": "say fox {n}", "response": "fox", "helpfulness": 4}}\n' for n in range(8)))
    sections = {
        **ONLINE, "rewards": [], "rollouts": {"max_tokens": 2},
        "steerlm": {"version": 2, "reward_model": scorer, "group_size": 16},
    }  # fmt: skip
    run(configuration("steerlm", base, str(path), **sections), tmp_path)
    errors = steps(tmp_path, "attribute_error")
    assert errors[0] > 3
    assert sum(errors[-4:]) / 4 < 1.2


def test_asked_attributes_are_learnt_from(base, tmp_path):
    sections = {"training": {"steps": 8}, "optimizer": {"lr": 1e-2}}
    run(configuration("steerlm", base, data(tmp_path, "helpsteer"), **sections), tmp_path)
    assert steps(tmp_path, "loss")[-1] < 0.7 * steps(tmp_path, "loss")[0]


def test_revisions_and_verdicts_are_learnt(base, tmp_path):
    sections = {"training": {"steps": 8}, "optimizer": {"lr": 3e-3}}
    run(configuration("constitutional", base, data(tmp_path, "prompts"), **sections), tmp_path)
    losses = steps(tmp_path, "loss")
    assert losses[3] < losses[0]
    assert losses[4] == pytest.approx(0.6931, abs=1e-4)
    assert losses[7] < losses[4]
