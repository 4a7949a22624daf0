"""What a run refuses, in one line, and as early as it can be known."""

import json
import re
from pathlib import Path

import pytest

from align.errors import AlignSettingsError, DataError, ModelError, RewardError
from align.run.start import prepare
from millrace import storage
from millrace.errors import ConfigError
from pretrain.errors import CheckpointError
from tests.align import tiny
from tests.align.methods import scorers
from tests.align.run.runs import CPU, alone, configuration, data, run, steps

PATTERN = {"rewards": [{"pattern": {"tokens": [20]}}]}


def ready(*given, **sections):
    return prepare(configuration(*given, **sections), CPU)


@pytest.fixture(scope="module")
def started(base, tmp_path_factory):
    """Return the folder of a run with a checkpoint, and its data."""
    folder = tmp_path_factory.mktemp("started")
    path = data(folder, "messages")
    run(configuration("sft", base, path, checkpoint={"every_steps": 1}, training={"steps": 3}), folder, kill_in=3)
    return folder, path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("method", "method sft in the checkpoint, distillation in the configuration"),
        ("model", "base model .*base.* in the checkpoint, .*other.* in the configuration"),
        ("data", "data [0-9a-f]+ in the checkpoint, [0-9a-f]+ in the configuration; its data were .*messages.jsonl"),
        ("peft", "peft None in the checkpoint, {'kind': 'lora'.* in the configuration"),
        ("global_batch", "global_batch 4 in the checkpoint, 8 in the configuration"),
    ],
)
def test_a_folder_of_another_run_is_refused_before_anything_is_overwritten(
    change, words, started, base, other, tmp_path
):
    folder, path = started
    before = (folder / "run.json").read_bytes()
    given = {
        "method": ("distillation", base, path, {"distillation": {"teacher": other}}), "model": ("sft", other, path, {}),
        "data": ("sft", base, fewer(path, tmp_path), {}), "peft": ("sft", base, path, {"model": {"peft": {}}}),
        "global_batch": ("sft", base, path, {"training": {"global_batch": 8}}),
    }  # fmt: skip
    method, model, place, sections = given[change]
    with pytest.raises(CheckpointError, match=rf"step-0000000\d is of another run: .*{words}"):
        run(configuration(method, model, place, **sections), folder)
    assert (folder / "run.json").read_bytes() == before


def fewer(path, folder):
    (folder / "fewer.jsonl").write_bytes(b"".join(storage.read_bytes(path).splitlines(keepends=True)[:12]))
    return str(folder / "fewer.jsonl")


def test_a_rank_refuses_a_checkpoint_of_another_run_too(started):
    from align.config import Config
    from align.run.train import train
    from millrace.config import build

    folder, _ = started
    told = json.loads((folder / "run.json").read_text())
    try:
        (folder / "run.json").write_text(json.dumps(told | {"about": told["about"] | {"data": "other"}}))
        with pytest.raises(CheckpointError, match=r"data [0-9a-f]+ in the checkpoint, other in the configuration"):
            train(build(Config, told["config"]), str(folder), alone())
    finally:
        (folder / "run.json").write_text(json.dumps(told))


@pytest.mark.parametrize("method", ["grpo", "ppo", "reinforce", "rejection_sampling"])
def test_without_rewards_there_is_nothing_to_learn_from(method, base, tmp_path):
    with pytest.raises(AlignSettingsError, match=f"{method} has nothing to reward .* Rewards: math"):
        ready(method, base, data(tmp_path, "prompts"))


@pytest.mark.parametrize(
    ("method", "kind", "sections", "words"),
    [
        ("dpoo", "preference", {}, "no method is called dpoo. Did you mean dpo?"),
        ("dpo", "preference", {"dpo": {"loss": "ip"}}, "Did you mean ipo?"),
        ("grpo", "prompts", {"rewards": [{"patern": {}}]}, "no reward is called patern. Did you mean pattern?"),
        ("grpo", "prompts", {**PATTERN, "rollouts": {"top_p": 0.9}}, "rollouts.top_p 0.9 biases grpo"),
        ("grpo", "prompts", {**PATTERN, "rollouts": {"temperature": 0}}, "rollouts.temperature 0.* biases grpo"),
        ("spin", "messages", {"rollouts": {"max_tokens": 0}}, "max_tokens is 0; it must be at least 1"),
        ("grpo", "prompts", {**PATTERN, "model": {"peft": {"dropout": 0.1}}}, "peft.dropout is 0.1; grpo weighs"),
        ("grpo", "prompts", {**PATTERN, "grpo": {"minibatches": 999}}, "each holds one at least"),
        ("dpo", "preference", PATTERN, "dpo asks for no rewards"),
        ("spin", "messages", {"spin": {"iterations": 0}}, "spin.iterations is 0; it must be at least 1"),
        ("dpo", "preference", {"dpo": {"label_smoothing": 0.1}}, "cdpo and robust need one above 0"),
        ("grpo", "prompts", {**PATTERN, "grpo": {"dual_clip": 0.5}}, "0, none, or more than 1"),
        ("spin", "messages", {"rollouts": {"asynchronous": True}}, "asynchronous is for ppo, grpo, reinforce"),
        ("grpo", "prompts", {**PATTERN, "rollouts": {"asynchronous": True}}, "needs placement.generate"),
        ("grpo", "prompts", {**PATTERN, "placement": {"actor": "1"}}, "rank 1; there are ranks 0-0"),
        (
            "grpo",
            "prompts",
            {**PATTERN, "rollouts": {"engine": "megatron"}, "placement": {"actor": "0"}, "parallel": {"ranks": 2}},
            "engine megatron .* names rank 1, which has none",
        ),
        ("steerlm", "helpsteer", {"steerlm": {"version": 2}}, "needs steerlm.reward_model"),
        ("distillation", "messages", {}, "distillation.teacher is empty"),
        ("sft", "messages", {"dpo": {}}, "section dpo is another method's"),
    ],
)
def test_settings_that_describe_no_run_are_refused(method, kind, sections, words, base, tmp_path):
    path = data(tmp_path, kind)
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        ready(method, base, path, **sections)


def test_a_teacher_of_another_tokenizer_is_refused_naming_both(base, foreign, tmp_path):
    words = f"teacher {re.escape(foreign)} has another tokenizer than {re.escape(base)}: 30. tokens, the policy's has 3"
    with pytest.raises(ModelError, match=words.replace("30.", r"\d+").replace("has 3", r"has \d+")):
        ready("distillation", base, data(tmp_path, "messages"), distillation={"teacher": foreign})


def test_a_teacher_of_another_vocabulary_is_refused_naming_both(base, tmp_path):
    import transformers

    folder = tmp_path / "padded"
    names = tiny.tokenizer(folder)
    config = transformers.LlamaConfig(vocab_size=len(names) + 64, hidden_size=8, num_attention_heads=2)
    config.save_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=rf"{folder} has a vocabulary of \d+; that of {re.escape(base)} is \d+"):
        ready("distillation", base, data(tmp_path, "messages"), distillation={"teacher": str(folder)})


def test_a_reward_model_is_a_sequence_classifier(base, other, tmp_path):
    path = data(tmp_path, "prompts")
    words = r"ppo.reward_model .* is LlamaForCausalLM: a reward model is a \.\.\.ForSequenceClassification"
    with pytest.raises(ModelError, match=words):
        ready("ppo", base, path, ppo={"reward_model": other})
    with pytest.raises(ModelError, match=r"rewards\[0\].model.start_from .* is LlamaForCausalLM"):
        ready("grpo", base, path, rewards=[{"model": {"start_from": other}}])
    several = scorers.last_token(tmp_path / "several", range(20), outputs=3)
    with pytest.raises(ModelError, match="gives 3 scores, 1 expected"):
        ready("ppo", base, path, ppo={"reward_model": several})


@pytest.mark.parametrize(
    ("asked", "names", "words"),
    [
        (["helpfulnes"], [], "no record has the attribute helpfulnes. Did you mean helpfulness? Records have"),
        (["verbosity"], ["helpfulness", "brief"], "does not measure verbosity. .*It measures helpfulness, brief"),
        (["verbosity"], [], "gives 2 scores without names, 1 expected: verbosity"),
        ([], ["kind", "brief"], r"no record has an attribute that .* measures \(kind, brief\)"),
    ],
)
def test_attributes_that_nobody_rates_or_measures_are_refused(asked, names, words, base, tmp_path):
    path = data(tmp_path, "helpsteer")
    scorer = scorers.last_token(tmp_path / "scorer", range(9), outputs=2, id2label=dict(enumerate(names)) or None)
    sections = {"steerlm": {"version": 2, "reward_model": scorer, "attributes": asked}}
    with pytest.raises((AlignSettingsError, ModelError), match=words.replace("?", r"\?")):
        ready("steerlm", base, path, **sections)


def test_an_attribute_that_is_no_number_is_refused(base, tmp_path):
    (tmp_path / "rated.jsonl").write_text(
        '{"prompt": "say fox", "depth": 4}\n{"prompt": "say nine", "depth": "much"}\n'
    )
    sections = {"steerlm": {"version": 2, "reward_model": scorers.last_token(tmp_path / "scorer", range(9))}}
    with pytest.raises(DataError, match=r"attribute depth is 'much'; a number is expected, or null"):
        ready("steerlm", base, str(tmp_path / "rated.jsonl"), **sections, training={"global_batch": 1})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"attributes": {"brif": 1.0}}, "does not measure brif. Did you mean brief? It measures kind, brief"),
        ({"atributes": {"brief": 1.0}}, r"rewards\[0\].model: .*atributes"),
        ({"attributes": {"brief": 1.0}, "weight": "much"}, r"rewards\[0\].model: weight"),
    ],
)
def test_settings_of_a_reward_model_are_checked_before_ranks_start(settings, words, base, tmp_path):
    scorer = scorers.last_token(tmp_path / "scorer", range(9), outputs=2, id2label={0: "kind", 1: "brief"})
    with pytest.raises(AlignSettingsError, match=words.replace("?", r"\?")):
        ready("grpo", base, data(tmp_path, "prompts"), rewards=[{"model": {"start_from": scorer, **settings}}])


def test_spin_without_answers_is_refused(base, tmp_path):
    with pytest.raises(DataError, match="no record has an answer, which SPIN prefers"):
        ready("spin", base, data(tmp_path, "prompts"))


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"rollouts": {"max_tokens": 96}}, "no prompt leaves room .* model.max_length is 96, rollouts.max_tokens 96"),
        ({"data": {"train_on": "all"}}, "with data.train_on all that is one token"),
    ],
)
def test_a_student_that_could_answer_nothing_itself_is_refused(sections, words, base, other, tmp_path):
    path = data(tmp_path, "messages")
    sections = {**sections, "data": {"path": path, **sections.get("data", {})}}
    with pytest.raises((DataError, AlignSettingsError), match=words):
        ready("distillation", base, path, distillation={"teacher": other, "on_policy": 0.5}, **sections)


def test_a_critic_may_be_of_another_size_but_not_of_another_tokenizer(base, other, foreign, tmp_path):
    path = data(tmp_path, "prompts")
    run(configuration("ppo", base, path, **PATTERN, ppo={"critic": other}), tmp_path)
    assert len(steps(tmp_path, "critic/loss")) == 4
    with pytest.raises(ModelError, match=r"ppo.critic .* has another tokenizer"):
        ready("ppo", base, path, **PATTERN, ppo={"critic": foreign})


def test_a_folder_without_a_model_is_refused_by_the_setting_that_names_it(base, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"distillation.teacher .*empty is no Hugging Face folder .* holds nothing"):
        ready("distillation", base, data(tmp_path, "messages"), distillation={"teacher": str(tmp_path / "empty")})


def test_what_another_run_handed_on_is_found_in_its_folder(base, tmp_path):
    path = data(tmp_path, "preference")
    run(configuration("reward_model", base, path, training={"steps": 1}), tmp_path / "scorer")
    sections = {"ppo": {"reward_model": str(tmp_path / "scorer")}, "training": {"steps": 1}}
    run(configuration("ppo", base, data(tmp_path, "prompts"), **sections), tmp_path / "run")
    assert len(steps(tmp_path / "run", "reward")) == 1


def test_prompts_that_leave_no_room_for_a_completion_are_left_out_or_refused(base, tmp_path):
    path = tmp_path / "long.jsonl"
    records = [{"prompt": "say fox 1"}, {"prompt": "fox " * 80}]
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    told = ready("grpo", base, str(path), **PATTERN)
    assert "1 to learn from" in told.describe()
    assert "too long" in told.describe()
    with pytest.raises(DataError, match=r"long.jsonl:2 is too long: a prompt of \d+ tokens; there is room for 88"):
        ready("grpo", base, str(path), **PATTERN, data={"path": str(path), "too_long": "refuse"})
    with pytest.raises(DataError, match="none of 2 records can be used: too long"):
        ready("grpo", base, str(path), **PATTERN, rollouts={"max_tokens": 90})


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("no_number", "reward python is nan for completion 0 .*must be a finite number"),
        ("raises", "failed at completion 0 .*KeyError: 'answer'"),
        ("hangs", "failed at completion 0 .*no value within 0.2 seconds"),
    ],
)
def test_a_reward_that_fails_ends_the_run_naming_the_completion(function, words, base, tmp_path):
    rewards = [{"python": {"function": f"tests.align.run.user_rewards:{function}", "seconds": 0.2}}]
    with pytest.raises(RewardError, match=words):
        run(configuration("grpo", base, data(tmp_path, "prompts"), rewards=rewards), tmp_path)


def test_a_users_own_reward_is_asked(base, tmp_path):
    rewards = [{"python": {"function": "tests.align.run.user_rewards:good"}}]
    run(configuration("grpo", base, data(tmp_path, "prompts"), rewards=rewards, training={"steps": 1}), tmp_path)
    assert steps(tmp_path, "reward") == steps(tmp_path, "length")


def test_files_that_settings_name_are_found_from_any_working_directory(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.jinja").write_text(tiny.TEMPLATE)
    path = Path(data(tmp_path, "messages")).relative_to(tmp_path)
    made = ready("sft", base, str(path), model={"template": "own.jinja"}).config
    assert made.model.template == str(tmp_path / "own.jinja")
    assert made.data.path == str(tmp_path / path)
    assert ready("sft", base, str(path), model={"template": "chatml"}).config.model.template == "chatml"
