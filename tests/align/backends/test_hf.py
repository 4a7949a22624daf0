"""The Hugging Face policy in one process: laws, and plain transformers as the oracle."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from align.backends.hf.policy import HuggingFacePolicy
from align.batch import TokenBatch
from align.config import Model
from align.errors import AlignSettingsError, ModelError
from align.layout import empty, packed, padded
from pretrain.errors import CheckpointError
from tests.align.backends import ranked, tiny

LENGTHS = [5, 9, 12, 3, 7, 2]
FAMILIES = ("llama", "qwen2", "gpt2", "mistral", "mixtral")


def gradients(policy: HuggingFacePolicy, batches: list[TokenBatch], loss: Any, counts: dict[str, float]) -> Any:
    """Return the gradients of a step that is not taken."""
    assert policy.trainer is not None
    policy.trainer.zero()
    for batch in batches:
        loss(policy._outputs(batch, loss.needs), batch, counts)[0].backward()
    policy.trainer.gather()
    return {name: m.grad.clone() for name, m in policy.trainer.masters.items() if m.grad is not None}


def plain_logprobs(folder: str, batch: TokenBatch, temperature: float = 1.0) -> torch.Tensor:
    """Return log-probabilities (n, t) of padded rows by transformers alone, 0 past the end."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        whole = (model(batch.tokens).logits / temperature).log_softmax(-1)
    inside = torch.arange(batch.labels.shape[1]) < (batch.lengths - 1)[:, None]
    return torch.where(inside, whole[:, :-1].gather(-1, batch.tokens[:, 1:, None])[..., 0], 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_is_padded_is_plain_transformers(folders, family):
    policy = HuggingFacePolicy(tiny.settings(folders[family]))
    made = tiny.examples(LENGTHS)
    apart, together = padded(made), packed(made, 20)
    assert together.tokens.shape[0] < len(LENGTHS)
    (one,), (two,) = (policy.logprobs([batch], entropy=True) for batch in (apart, together))
    torch.testing.assert_close(one.logprobs, two.logprobs, rtol=0, atol=5e-6)
    torch.testing.assert_close(one.entropy, two.entropy, rtol=0, atol=5e-6)
    torch.testing.assert_close(one.logprobs, plain_logprobs(folders[family], apart), rtol=0, atol=5e-6)
    of_one, of_two = (gradients(policy, [batch], tiny.CrossEntropy(), tiny.counts(made)) for batch in (apart, together))
    for name, gradient in of_one.items():
        torch.testing.assert_close(gradient, of_two[name], rtol=0, atol=1e-6 * max(1, gradient.abs().max().item()))


def test_models_that_mix_packed_sequences_are_found_out(folders):
    policy = HuggingFacePolicy(tiny.settings(folders["llama"]))
    policy.model.set_attn_implementation("eager")  # by now nobody tells it where documents end
    original = policy.model.model.forward
    policy.model.model.forward = lambda **given: original(**{**given, "position_ids": None})
    limits = policy._limits()
    assert not limits.packs
    policy.limits = limits
    with pytest.raises(ModelError, match=r"lets packed sequences see each other; set data\.packing to false"):
        policy.logprobs([packed(tiny.examples([4, 5]), 16)])


@pytest.mark.parametrize("kind", ["lm", "value", "reward"])
def test_k_micro_batches_are_one_batch(folders, kind):
    policy = HuggingFacePolicy(tiny.settings(folders["llama"], head=kind))
    made = tiny.examples(LENGTHS)
    loss, counts = ranked.loss_of(kind), tiny.counts(made)
    splits = [[packed(made, 40)], [padded(made[:2]), packed(made[2:5], 16), empty(), padded(made[5:])]]
    one, many = (gradients(policy, split, loss, counts) for split in splits)
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, many[name], rtol=0, atol=1e-6 * max(1, gradient.abs().max().item()))
    told = []
    for split in splits:
        other = HuggingFacePolicy(tiny.settings(folders["llama"], head=kind))
        result = other.train_step(split, loss, counts)
        assert result.applied
        assert other.version == 1
        told.append([result.loss, result.grad_norm, *result.metrics.values()])
    assert told[0] == pytest.approx(told[1], rel=1e-5)


def test_temperature_top_tokens_and_candidates(folders):
    policy = HuggingFacePolicy(tiny.settings(folders["gpt2"], temperature=0.6))
    batch = padded(tiny.examples([6, 4]))
    (made,) = policy.logprobs([batch], top_k=3)
    torch.testing.assert_close(made.logprobs, plain_logprobs(folders["gpt2"], batch, 0.6), rtol=0, atol=5e-6)
    with_tokens = dataclasses.replace(batch, fields={"candidates": made.top})
    (again,) = policy.logprobs([with_tokens], candidates=True)
    torch.testing.assert_close(again.candidates, made.candidates, rtol=0, atol=1e-6)
    assert (made.candidates[0, 0].diff() <= 0).all()
    assert not made.candidates[1, 3:].any(), "past the end there is nothing"


def test_recomputed_activations_give_the_same_gradients(folders):
    made = tiny.examples(LENGTHS)
    both = [
        gradients(policy, [packed(made, 20)], tiny.CrossEntropy(), tiny.counts(made))
        for policy in (HuggingFacePolicy(tiny.settings(folders["gpt2"], recompute=on)) for on in (False, True))
    ]
    for name, gradient in both[0].items():
        torch.testing.assert_close(gradient, both[1][name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resume_is_unbroken_bit_for_bit(folders, tmp_path, precision):
    case: dict[str, Any] = {"folder": folders["llama"], "settings": {"precision": precision}}
    policy = ranked.opened(case)
    ranked.steps(policy, case, 3)
    ranked._resumes(policy, case, str(tmp_path))


def test_a_step_that_is_not_finite_changes_nothing_but_the_schedule(folders):
    policy = HuggingFacePolicy(tiny.settings(folders["llama"]))
    made = tiny.examples(LENGTHS)
    batch, counts = padded(made), tiny.counts(made)
    policy.train_step([batch], tiny.CrossEntropy(), counts)
    before = ranked.weights(policy)
    result = policy.train_step([batch], tiny.CrossEntropy(), {"tokens": 0.0})
    assert not result.applied
    assert not math.isfinite(result.loss)
    assert policy.version == 1
    after = ranked.weights(policy)
    assert all(torch.equal(before[name], after[name]) for name in before)
    rates = [result.lr, policy.train_step([batch], tiny.CrossEntropy(), counts).lr]
    fresh = HuggingFacePolicy(tiny.settings(folders["llama"]))
    expected = [fresh.train_step([batch], tiny.CrossEntropy(), counts).lr for _ in range(3)]
    assert rates == expected[1:]


def test_a_policy_without_optimizer_is_frozen(folders):
    policy = HuggingFacePolicy(tiny.settings(folders["llama"], optimizer=None))
    assert not any(p.requires_grad for p in policy.model.parameters())
    with pytest.raises(AlignSettingsError, match="is frozen"):
        policy.train_step([padded(tiny.examples([4]))], tiny.CrossEntropy(), {"tokens": 1})
    with pytest.raises(ModelError, match="its reference is a frozen policy of its own"), policy.reference():
        pass
    with pytest.raises(AlignSettingsError, match="head 'lm' gives no values"):
        policy.values([padded(tiny.examples([4]))])


def test_half_precision_is_near_full(folders):
    half = HuggingFacePolicy(tiny.settings(folders["llama"], precision="bf16"))
    whole = HuggingFacePolicy(tiny.settings(folders["llama"]))
    made = tiny.examples(LENGTHS)
    (one,), (two,) = (policy.logprobs([packed(made, 20)]) for policy in (half, whole))
    assert one.logprobs.dtype == torch.float32
    assert next(half.model.parameters()).dtype == torch.bfloat16
    torch.testing.assert_close(one.logprobs, two.logprobs, rtol=0, atol=0.15)
    told = [
        [policy.train_step([packed(made, 20)], tiny.CrossEntropy(), tiny.counts(made)).loss for _ in range(4)]
        for policy in (half, whole)
    ]
    assert told[0] == pytest.approx(told[1], rel=0.03)


# Heads


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_scores_are_those_of_a_sequence_classifier_that_others_load(folders, tmp_path, family):
    policy = HuggingFacePolicy(tiny.settings(folders[family], head="reward", outputs=3, seed=4))
    made = tiny.examples(LENGTHS)
    for _ in range(2):
        policy.train_step([packed(made, 20)], tiny.Squares("scores"), tiny.counts(made))
    (scores,), (again,) = policy.scores([padded(made)]), policy.scores([packed(made, 20)])
    assert scores.shape == (len(LENGTHS), 3)
    torch.testing.assert_close(scores, again, rtol=0, atol=1e-5)
    policy.export(str(tmp_path / "made"))
    other = AutoModelForSequenceClassification.from_pretrained(tmp_path / "made", dtype=torch.float32)
    assert other.config.num_labels == 3
    rows = [other(torch.from_numpy(one.sequences[0].tokens)[None]).logits[0] for one in made]
    torch.testing.assert_close(scores, torch.stack(rows), rtol=0, atol=1e-5)
    critic = HuggingFacePolicy(tiny.settings(str(tmp_path / "made"), head="reward", outputs=3, optimizer=None))
    torch.testing.assert_close(critic.scores([padded(made)])[0], scores, rtol=0, atol=1e-6)
    with pytest.raises(ModelError, match="score"):
        HuggingFacePolicy(tiny.settings(str(tmp_path / "made"), head="value", outputs=1))


def test_values_begin_as_the_reward_models_score_and_are_learnt(folders, tmp_path):
    reward = HuggingFacePolicy(tiny.settings(folders["qwen2"], head="reward"))
    reward.export(str(tmp_path / "reward"))
    critic = HuggingFacePolicy(tiny.settings(str(tmp_path / "reward"), head="value"))
    made = tiny.examples(LENGTHS)
    (values,), (scores,) = critic.values([packed(made, 20)]), reward.scores([padded(made)])
    cut = [tiny.examples(LENGTHS)[0].sequences[0].tokens[:-1]]
    shorter = dataclasses.replace(made[0], sequences=(dataclasses.replace(made[0].sequences[0], tokens=cut[0]),))
    assert values[0, LENGTHS[0] - 2].item() == pytest.approx(_score(reward, shorter.sequences[0].tokens), abs=1e-5)
    assert scores.shape == (len(LENGTHS), 1)
    assert not values[1, LENGTHS[1] - 1 :].any()
    losses = [critic.train_step([packed(made, 20)], tiny.Squares("values"), tiny.counts(made)).loss for _ in range(8)]
    assert losses[-1] < 0.5 * losses[0]


def _score(policy: HuggingFacePolicy, tokens: np.ndarray) -> float:
    with torch.no_grad():
        return policy.model(torch.from_numpy(tokens)[None]).logits[0, 0].item()


# Where it lies, and what leaves it


def test_offloaded_and_back_is_where_it_was(folders):
    made = tiny.examples(LENGTHS)
    told = []
    for moved in (False, True):
        policy = HuggingFacePolicy(tiny.settings(folders["llama"], precision="bf16"))
        for _ in range(3):
            result = policy.train_step([packed(made, 20)], tiny.CrossEntropy(), tiny.counts(made))
            if moved:
                policy.offload("optimizer")
                with pytest.raises(AssertionError, match="offloaded"):
                    policy.train_step([packed(made, 20)], tiny.CrossEntropy(), tiny.counts(made))
                policy.offload()
                with pytest.raises(AssertionError, match="offloaded"):
                    policy.logprobs([packed(made, 20)])
                policy.onload("weights")
                policy.logprobs([packed(made, 20)])
                policy.onload()
        told.append([result.loss, result.grad_norm])
    assert told[0] == told[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_export_loads_in_transformers_with_equal_logprobs_under_the_same_names(folders, tmp_path, family):
    from safetensors.torch import load_file

    policy = HuggingFacePolicy(tiny.settings(folders[family]))
    made = tiny.examples(LENGTHS)
    policy.train_step([packed(made, 20)], tiny.CrossEntropy(), tiny.counts(made))
    policy.export(str(tmp_path / "made"))
    expected = plain_logprobs(str(tmp_path / "made"), padded(made))
    torch.testing.assert_close(policy.logprobs([padded(made)])[0].logprobs, expected, rtol=0, atol=5e-6)
    there, was = (load_file(Path(folder, "model.safetensors")) for folder in (tmp_path / "made", folders[family]))
    assert {name: value.shape for name, value in there.items()} == {name: value.shape for name, value in was.items()}
    assert {name for name, _ in policy.named_weights()} == set(there)
    assert Path(tmp_path, "made", "tokenizer.json").read_bytes() == Path(folders[family], "tokenizer.json").read_bytes()
    if family != "gpt2":  # readers before transformers 5 take 10000 where they find no rope_theta
        config = json.loads(Path(tmp_path, "made", "config.json").read_text())
        assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]
        assert config["torch_dtype"] == config["dtype"] == "float32"


def test_an_export_has_the_tokenizer_that_was_learnt_with_and_the_models_own_end_tokens(folders, tmp_path):
    other = tmp_path / "tokenizer"
    other.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        text = Path(folders["llama"], name).read_text()
        (other / name).write_text(text.replace("words", "swords") if name == "tokenizer.json" else text + "\n")
    policy = HuggingFacePolicy(tiny.settings(folders["llama"], model=Model(tokenizer=str(other))))
    policy.export(str(tmp_path / "made"))
    made, base = tmp_path / "made", Path(folders["llama"])
    assert (made / "tokenizer.json").read_bytes() == (other / "tokenizer.json").read_bytes()
    assert (made / "generation_config.json").read_bytes() == (base / "generation_config.json").read_bytes()


# Bad input


def test_folders_that_hold_no_model_are_refused(folders, tmp_path):
    with pytest.raises(ModelError, match="the model's folder nowhere does not exist"):
        HuggingFacePolicy(tiny.settings("nowhere"))
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(ModelError, match=r"is no Hugging Face folder: it has no config\.json, but holds notes\.txt"):
        HuggingFacePolicy(tiny.settings(str(tmp_path)))
    (tmp_path / "config.json").write_text('{"model_type": "lama"}')
    with pytest.raises(ModelError, match=r"config\.json: .*lama"):
        HuggingFacePolicy(tiny.settings(str(tmp_path)))
    (tmp_path / "config.json").write_bytes(Path(folders["llama"], "config.json").read_bytes())
    with pytest.raises(ModelError, match="safetensors"):
        HuggingFacePolicy(tiny.settings(str(tmp_path)))


def test_weights_that_config_json_does_not_describe_are_refused(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    was = load_file(Path(folders["llama"], "model.safetensors"))
    config = Path(folders["llama"], "config.json").read_text()
    (tmp_path / "config.json").write_text(config)

    def stored(tensors: dict[str, torch.Tensor]) -> None:
        save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})

    stored({name: value for name, value in was.items() if "layers.1.mlp.up_proj" not in name})
    with pytest.raises(ModelError, match=r"lacks 1 tensors of its model, the first is model\.layers\.1\.mlp\.up_proj"):
        HuggingFacePolicy(tiny.settings(str(tmp_path)))
    stored({**was, "model.layers.0.extra.weight": torch.ones(2)})
    with pytest.raises(ModelError, match=r"has 1 tensors its model does not use, .*extra"):
        HuggingFacePolicy(tiny.settings(str(tmp_path)))
    stored({**was, "lm_head.weight": torch.ones(7, 32)})
    with pytest.raises(ModelError, match=r"lm_head|shape|size"):
        HuggingFacePolicy(tiny.settings(str(tmp_path)))
    tiny.make(tmp_path / "reward", "llama", head="reward")
    with pytest.raises(ModelError, match=r"lacks 1 tensors .* lm_head\.weight\. It is a reward model"):
        HuggingFacePolicy(tiny.settings(str(tmp_path / "reward")))


def test_tokens_and_lengths_the_model_has_no_weights_for_are_refused(folders):
    policy = HuggingFacePolicy(tiny.settings(folders["gpt2"]))
    (one,) = tiny.examples([5])
    one.sequences[0].tokens[2] = tiny.VOCABULARY
    with pytest.raises(ModelError, match=r"a batch holds token 61; .* knows 0 to 60: its tokenizer and its weights"):
        policy.logprobs([padded([one])])
    with pytest.raises(ModelError, match=r"a sequence has 65 tokens; .* has 64 positions\. Lower model\.max_length"):
        policy.logprobs([padded(tiny.examples([65]))])
    assert policy.logprobs([padded(tiny.examples([64, 3]), multiple=128)])[0].logprobs is not None


def test_a_state_of_another_run_is_refused_and_both_are_named(folders, tmp_path):
    policy = HuggingFacePolicy(tiny.settings(folders["llama"]))
    policy.save(str(tmp_path / "state"))
    tiny.make(tmp_path / "other", "llama", seed=9)
    with pytest.raises(CheckpointError, match=rf"base model \w+ \({folders['llama']}\); this run has \w+ \(.*other\)"):
        HuggingFacePolicy(tiny.settings(str(tmp_path / "other"))).load(str(tmp_path / "state"))
    with pytest.raises(CheckpointError, match="saved with head lm; this run has reward"):
        HuggingFacePolicy(tiny.settings(folders["llama"], head="reward")).load(str(tmp_path / "state"))
    whole = (tmp_path / "state" / "hf-000.pt").read_bytes()
    for part in (whole[: len(whole) // 2], b""):
        (tmp_path / "state" / "hf-000.pt").write_bytes(part)
        with pytest.raises(CheckpointError, match=r"hf-000\.pt is damaged: it cannot be read"):
            policy.load(str(tmp_path / "state"))
    with pytest.raises(CheckpointError, match="holds no state of a Hugging Face policy"):
        policy.load(str(tmp_path / "nowhere"))
