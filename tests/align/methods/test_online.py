"""What methods do with completions of their own, beside learning."""

import json

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken
from transformers import AutoTokenizer

from align.errors import AlignSettingsError, DataError, RewardError, RolloutError
from tests.align import tiny
from tests.align.methods import scorers
from tests.align.run.runs import configuration, data, lines, run, same, steps, weights

WANTED = range(20, 60)
REWARDS = {"rewards": [{"pattern": {"tokens": list(WANTED)}}]}
TWO = {"training": {"steps": 2}}


@pytest.mark.parametrize(
    "sections",
    [
        {"rollouts": {"temperature": 0.5}},
        {"model": {"precision": "bf16"}},
        {"model": {"peft": {"kind": "lora"}}},
        {"model": {"peft": {"kind": "ia3"}}},
        {"model": {"peft": {"kind": "adapter"}}},
        {"placement": {"offload": False}, "grpo": {"epochs": 2}},
    ],
    ids=str,
)
def test_generator_and_trainer_are_one_model(sections, base, tmp_path):
    run(configuration("grpo", base, data(tmp_path, "prompts"), **REWARDS, **TWO, **sections), tmp_path)
    limit = 1.01 if "precision" in sections.get("model", {}) else 1 + 1e-5
    errors = steps(tmp_path, "ratio_error")
    assert errors[0] <= limit
    assert sections.get("grpo") or errors[1] <= limit


def test_engines_that_disagree_stop_the_run(base, tmp_path):
    sections = {**REWARDS, **TWO, "rollouts": {"max_ratio_error": 1.0}}  # no engines agree to the last bit
    words = r"disagree at the same weights \(version \d\): .* over rollouts.max_ratio_error 1"
    with pytest.raises(RolloutError, match=words):
        run(configuration("grpo", base, data(tmp_path, "prompts"), **sections), tmp_path)


@pytest.mark.parametrize("method", ["grpo", "ppo"])
def test_completions_that_hit_the_limit_teach_nothing_where_they_are_left_out(method, base, tmp_path):
    sections = {method: {"mask_unfinished": True}, "rollouts": {"max_tokens": 1}, **REWARDS, **TWO}
    run(configuration(method, base, data(tmp_path, "prompts"), **sections), tmp_path)
    assert steps(tmp_path, "finished") == [0, 0]
    assert steps(tmp_path, "grad_norm") == [0, 0]
    before, after = load_file(f"{base}/model.safetensors"), weights(tmp_path)
    assert all(after[name].equal(tensor) for name, tensor in before.items())


def test_an_actors_schedule_does_not_run_while_the_critic_alone_learns(base, tmp_path):
    schedule = {"lr": 1e-3, "min_lr": 1e-4, "schedule": "linear", "warmup_steps": 0}
    path = data(tmp_path, "prompts")
    sections = {**REWARDS, "optimizer": schedule, "training": {"steps": 3}}
    run(configuration("ppo", base, path, **sections), tmp_path / "three")
    warmed = {**sections, "training": {"steps": 5}, "ppo": {"critic_warmup": 2}}
    run(configuration("ppo", base, path, **warmed), tmp_path / "five")
    assert steps(tmp_path / "five", "lr")[2:] == steps(tmp_path / "three", "lr")


def test_prompts_that_say_nothing_are_drawn_again(base, tmp_path):
    sections = {"grpo": {"dynamic_sampling": True, "group_size": 2}, "rollouts": {"max_tokens": 2}, **REWARDS}
    run(configuration("grpo", base, data(tmp_path, "prompts"), **sections), tmp_path)
    assert max(steps(tmp_path, "draws")) > 1
    assert steps(tmp_path, "silent") == [0] * 4
    assert all(0 < share <= 1 for share in steps(tmp_path, "acceptance"))


def test_what_is_logged_is_of_all_that_was_drawn(base, tmp_path):
    """Of the prompts that are kept one completion of two is right; of all that were drawn far fewer."""
    sections = {"grpo": {"dynamic_sampling": True, "group_size": 2}, "rewards": [{"pattern": {"text": "o"}}], **TWO}
    run(configuration("grpo", base, data(tmp_path, "prompts"), **sections, rollouts={"max_tokens": 2}), tmp_path)
    assert max(steps(tmp_path, "reward")) < 0.4


def test_lengths_alone_give_a_prompt_nothing_to_say(base, tmp_path):
    sections = {
        "grpo": {"dynamic_sampling": True, "max_draws": 2, "overlong": 60}, "rollouts": {"max_tokens": 60},
        "rewards": [{"pattern": {"text": "never there"}}],
    }  # fmt: skip
    with pytest.raises(RolloutError, match="in 64 completions of 2 batches no prompt earned rewards that differ"):
        run(configuration("grpo", base, data(tmp_path, "prompts"), **sections), tmp_path)


@pytest.mark.parametrize("method", ["grpo", "reinforce", "ppo"])
def test_entropy_is_logged(method, base, tmp_path):
    """At random weights it is nearly that of an even draw."""
    path = data(tmp_path, "prompts")
    run(configuration(method, base, path, **REWARDS, training={"steps": 1}), tmp_path / "estimate")
    (estimate,) = steps(tmp_path / "estimate", "entropy")
    assert estimate == pytest.approx(np.log(320), abs=0.1)
    if method == "ppo":
        exact = {"ppo": {"entropy": 1e-9}, "training": {"steps": 1}}
        run(configuration(method, base, path, **REWARDS, **exact), tmp_path / "exact")
        assert steps(tmp_path / "exact", "entropy") == [pytest.approx(estimate, abs=0.1)]
        assert steps(tmp_path / "exact", "entropy") != [estimate]


def test_a_task_all_prompts_are_silent_on_is_refused(base, tmp_path):
    sections = {"grpo": {"dynamic_sampling": True, "max_draws": 2}, "rewards": [{"pattern": {"text": "never there"}}]}
    with pytest.raises(RolloutError, match="in 64 completions of 2 batches no prompt earned rewards that differ"):
        run(configuration("grpo", base, data(tmp_path, "prompts"), **sections), tmp_path)


def test_overlong_completions_lose_what_is_said(base, tmp_path):
    run(configuration("grpo", base, data(tmp_path, "prompts"), **REWARDS, **TWO, grpo={"overlong": 4}), tmp_path)
    for line in (line for line in lines(tmp_path) if "lr" in line):
        assert line["reward"] == pytest.approx(line["reward/pattern"] + line["reward/overlong"])
        assert line["reward/overlong"] == pytest.approx(-1, abs=0.3)  # almost all hit the limit


def test_a_server_completes_prompts_as_the_trainer_does(base, tmp_path):
    from transformers import AutoModelForCausalLM

    from align.rollout.engines import VLLM
    from tests.align.rollout.server import Server

    sections = {**REWARDS, "grpo": {"group_size": 2}, "training": {"steps": 3, "global_batch": 2}}
    path = data(tmp_path, "prompts")
    own = run(configuration("grpo", base, path, **sections), tmp_path / "own")
    with Server(AutoModelForCausalLM.from_pretrained(base), VLLM) as server:
        sections["rollouts"] = {"engine": "http", "url": server.url}
        run(configuration("grpo", base, path, **sections), tmp_path / "served")
        assert server.asked["/collective_rpc"] == 4  # the beginning, and after each step
    served = tmp_path / "served"
    assert steps(served, "reward") == pytest.approx(steps(own, "reward"))
    assert max(steps(served, "ratio_error")) < 1 + 1e-5


def test_a_student_answers_itself_where_there_is_room(base, other, tmp_path):
    path = tmp_path / "answered.jsonl"
    asked = ["say fox"] * 2 + ["say nine " * 12] * 2  # of the latter there is no room for a completion
    turns = [[{"role": "user", "content": one}, {"role": "assistant", "content": "fox"}] for one in asked]
    path.write_text("".join(json.dumps({"messages": one}) + "\n" for one in turns))
    made = {}
    for share in (0.0, 0.5, 1.0):
        sections = {"distillation": {"teacher": other, "on_policy": share}, "rollouts": {"max_tokens": 40}}
        training = {"steps": 6, "global_batch": 4}
        config = configuration("distillation", base, str(path), **sections, training=training)
        made[share] = run(config, tmp_path / str(share))
    assert not same(made[0.0], made[1.0])
    assert steps(made[0.0], "drawn") == []
    assert set(steps(made[0.5], "drawn")) == {0.0, 0.5}
    assert steps(made[1.0], "drawn") == [0.5] * 6


def test_the_best_of_a_prompts_completions_are_kept(base, tmp_path):
    sections = {"rejection_sampling": {"group_size": 8, "min_reward": 0.2}, **REWARDS, **TWO}
    run(configuration("rejection_sampling", base, data(tmp_path, "prompts"), **sections), tmp_path)
    (reward,), (kept,), (acceptance,) = (steps(tmp_path, name) for name in ("reward", "kept_reward", "acceptance"))
    assert kept > max(reward, 0.2)
    assert 0 < acceptance <= 1 / 8
    sections["rejection_sampling"]["min_reward"] = 2.0
    with pytest.raises(DataError, match="phase 1, iteration 1: no completion is fit to learn from"):
        run(configuration("rejection_sampling", base, data(tmp_path, "prompts"), **sections), tmp_path / "none")


def test_attributes_that_leave_no_room_for_a_completion_are_refused(base, tmp_path):
    scorer = scorers.last_token(tmp_path / "scorer", WANTED, outputs=2)
    sections = {"steerlm": {"version": 2, "reward_model": scorer}, "model": {"max_length": 48}, **TWO}
    with pytest.raises(DataError, match=r"prompt \S+ has \d+ tokens with its attributes; .* leaves 40"):
        run(configuration("steerlm", base, data(tmp_path, "helpsteer"), **sections), tmp_path)


def test_an_attribute_that_is_not_rated_asks_for_nothing(base, tmp_path):
    scorer = scorers.last_token(tmp_path / "scorer", WANTED, outputs=2)
    path = tmp_path / "rated.jsonl"
    path.write_text(
        '{"prompt": "say fox", "response": "fox", "helpfulness": 4, "verbosity": 1}\n'
        '{"prompt": "say dog", "response": "dog", "helpfulness": 4}\n'
    )
    sections = {"steerlm": {"version": 2, "reward_model": scorer}, "training": {"steps": 2, "global_batch": 2}}
    run(configuration("steerlm", base, str(path), **sections), tmp_path)
    assert np.isfinite(steps(tmp_path, "attribute_error")).all()
    assert steps(tmp_path, "skipped") == [False, False]


def test_attributes_are_measured_by_the_outputs_of_their_names(base, tmp_path):
    """Scores are 0 for verbosity, the first output, and 4 for helpfulness, whatever the completion."""
    scorer = scorers.last_token(tmp_path / "scorer", WANTED, outputs=2, id2label={0: "verbosity", 1: "helpfulness"})
    file = f"{scorer}/model.safetensors"
    tensors = load_file(file)
    tensors["score.weight"][:] = 0
    tensors["score.weight"][1, 1] = 2.0  # of an entry that is 2 for every token
    save_file(tensors, file, {"format": "pt"})
    path = tmp_path / "rated.jsonl"
    path.write_text('{"prompt": "say fox", "response": "fox", "helpfulness": 4, "verbosity": 0}\n')
    sections = {"steerlm": {"version": 2, "reward_model": scorer}, "training": {"steps": 1, "global_batch": 1}}
    run(configuration("steerlm", base, str(path), **sections), tmp_path)
    assert steps(tmp_path, "attribute_error") == [pytest.approx(0, abs=1e-4)]


def test_a_measurement_that_is_no_number_ends_the_run(base, tmp_path):
    scorer = scorers.last_token(tmp_path / "scorer", WANTED, high=float("nan"), outputs=2)
    path = data(tmp_path, "helpsteer")
    sections = {"steerlm": {"version": 2, "reward_model": scorer}, "data": {"path": path, "packing": False}, **TWO}
    with pytest.raises(RewardError, match=r"measures helpfulness of a completion of prompt .* as nan"):
        run(configuration("steerlm", base, path, **sections), tmp_path)


def test_answers_that_spell_a_control_token_are_left_out_and_counted(tmp_path):
    """Words that the model often writes are made control tokens: these it may not write into a conversation."""
    names = AutoTokenizer.from_pretrained(tiny.model(tmp_path / "model"))
    words = [AddedToken(one, special=True) for one in ("fox", "dog", "quick", "brown", "jumps", "lazy", "counts")]
    names.add_tokens(words, special_tokens=True)
    names.save_pretrained(tmp_path / "model")
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(f'{{"prompt": "say {n}"}}\n' for n in range(16)))
    sections = {"model": {"max_length": 256}, "rollouts": {"max_tokens": 16}, **TWO}
    run(configuration("constitutional", str(tmp_path / "model"), str(path), **sections), tmp_path)
    revised, judged = steps(tmp_path, "unfit")
    assert 0 < revised < 1
    assert 0 < judged < 1
    (learnt,) = steps(tmp_path, "revised")
    assert learnt <= 1 - revised


def test_p_tuning_completes_nothing(base, tmp_path):
    sections = {**REWARDS, "model": {"peft": {"kind": "p_tuning"}}}
    with pytest.raises(AlignSettingsError, match="grpo completes prompts, which p_tuning's virtual tokens"):
        run(configuration("grpo", base, data(tmp_path, "prompts"), **sections), tmp_path)
