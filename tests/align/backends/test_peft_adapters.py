"""Adapters: applied = merged = what peft and transformers load; off is the base; frozen weights stay."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from align.backends.hf import bottleneck
from align.backends.hf.policy import HuggingFacePolicy
from align.batch import Example, TokenBatch, TokenSequence
from align.config import Peft
from align.errors import ModelError
from align.layout import packed, padded
from pretrain.errors import CheckpointError
from tests.align.backends import ranked, tiny
from tests.align.backends.test_hf import LENGTHS, gradients, plain_logprobs

KINDS = {
    "lora": Peft(rank=4), "lora of some layers": Peft(rank=4, targets=("c_attn", "q_proj", "down_proj")),
    "ia3": Peft(kind="ia3"), "p_tuning": Peft(kind="p_tuning", tokens=3), "adapter": Peft(kind="adapter", width=8),
}  # fmt: skip
EVERY = [(family, name) for family in ("llama", "qwen2", "gpt2") for name in KINDS]


def trained(folder: str, peft: Peft | None, **changes: Any) -> tuple[HuggingFacePolicy, TokenBatch]:
    """Return a policy after two steps, and the batch they were taken on."""
    policy = HuggingFacePolicy(tiny.settings(folder, peft=peft, **changes))
    made = tiny.examples(LENGTHS)
    for _ in range(2):
        assert policy.train_step([padded(made)], tiny.CrossEntropy(), tiny.counts(made)).applied
    return policy, padded(made)


def of_peft(folder: str, adapter: str, kind: Any = AutoModelForCausalLM, **options: Any) -> Any:
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 reads a property transformers 5 renamed
        return PeftModel.from_pretrained(kind.from_pretrained(folder, dtype=torch.float32, **options), adapter)


@pytest.mark.parametrize(("family", "name"), EVERY)
def test_adapters_are_trained_alone_and_switched_off_for_the_reference(folders, family, name):
    base = HuggingFacePolicy(tiny.settings(folders[family], optimizer=None))
    policy, batch = trained(folders[family], KINDS[name])
    frozen = {n: p for n, p in policy.network.named_parameters() if not p.requires_grad}
    assert 0 < sum(p.numel() for p in policy.trainer.parameters.values()) < sum(p.numel() for p in frozen.values())
    (was,), (now,) = base.logprobs([batch]), policy.logprobs([batch])
    with policy.reference():
        (off,) = policy.logprobs([batch])
    torch.testing.assert_close(off.logprobs, was.logprobs, rtol=0, atol=5e-6)
    assert (now.logprobs - was.logprobs).abs().max() > 1e-3
    (again,) = policy.logprobs([batch])
    assert torch.equal(again.logprobs, now.logprobs)


@pytest.mark.parametrize(("family", "name"), EVERY)
def test_merged_is_applied_and_peft_loads_it(folders, tmp_path, family, name):
    policy, batch = trained(folders[family], KINDS[name])
    (now,) = policy.logprobs([batch])
    out = tmp_path / "made"
    policy.export(str(out))
    if KINDS[name].kind in ("p_tuning", "adapter"):
        assert not (out / "config.json").exists(), "it would load as the model before training"
        with pytest.raises(ModelError, match="cannot be merged"):
            next(policy.named_weights())
    else:
        torch.testing.assert_close(plain_logprobs(str(out), batch), now.logprobs, rtol=0, atol=1e-5)
    if KINDS[name].kind != "adapter":
        model = of_peft(folders[family], str(out / "adapter"))
        with torch.no_grad():
            logits = model(batch.tokens).logits[:, -batch.tokens.shape[1] :]
        theirs = logits.log_softmax(-1)[:, :-1].gather(-1, batch.tokens[:, 1:, None])[..., 0]
        torch.testing.assert_close(torch.where(now.logprobs != 0, theirs, 0), now.logprobs, rtol=0, atol=5e-6)


def test_adapters_begin_as_the_base_model(folders):
    base = HuggingFacePolicy(tiny.settings(folders["llama"], optimizer=None))
    batch = padded(tiny.examples(LENGTHS))
    for kind in ("lora", "ia3", "adapter"):
        policy = HuggingFacePolicy(tiny.settings(folders["llama"], peft=Peft(kind=kind)))
        assert torch.equal(policy.logprobs([batch])[0].logprobs, base.logprobs([batch])[0].logprobs)


@pytest.mark.parametrize("name", ["lora", "ia3", "adapter"])
def test_packed_is_padded_with_adapters(folders, name):
    policy, _ = trained(folders["llama"], KINDS[name])
    made = tiny.examples(LENGTHS)
    one, two = (
        gradients(policy, [batch], tiny.CrossEntropy(), tiny.counts(made)) for batch in (padded(made), packed(made, 20))
    )
    for key, gradient in one.items():
        torch.testing.assert_close(gradient, two[key], rtol=0, atol=1e-6 * max(1, gradient.abs().max().item()))


def test_virtual_tokens_and_packed_rows_are_refused_together(folders):
    policy, _ = trained(folders["llama"], KINDS["p_tuning"])
    with pytest.raises(ModelError, match=r"set data\.packing to false"):
        policy.logprobs([packed(tiny.examples([4, 5]), 16)])
    with pytest.raises(ModelError, match=r"a sequence has 62 tokens and 3 virtual tokens; .* has 64 positions"):
        policy.logprobs([padded(tiny.examples([62]))])
    with policy.reference():
        assert policy.logprobs([padded(tiny.examples([62]))])[0].logprobs is not None


@pytest.mark.parametrize("name", ["lora that drops", "p_tuning", "adapter"])
def test_resume_of_adapters_is_unbroken_and_holds_them_alone(folders, tmp_path, name):
    peft = KINDS.get(name, Peft(rank=4, dropout=0.3))
    case: dict[str, Any] = {"folder": folders["gpt2"], "peft": vars(peft)}
    policy = ranked.opened(case)
    ranked.steps(policy, case, 3)
    ranked._resumes(policy, case, str(tmp_path))
    with pytest.raises(CheckpointError, match=r"saved with adapters \w+; this run has ia3"):
        HuggingFacePolicy(tiny.settings(folders["gpt2"], peft=Peft(kind="ia3"))).load(str(tmp_path))
    state = torch.load(tmp_path / "hf-000.pt", weights_only=True)
    assert set(state["training"]["weights"]) == set(policy.trainer.parameters)


def test_other_ranks_of_lora_are_refused(folders, tmp_path):
    HuggingFacePolicy(tiny.settings(folders["llama"], peft=Peft(rank=4))).save(str(tmp_path))
    with pytest.raises(CheckpointError, match=r"lora_A.* was saved with shape \[4, 48\]; this run's has \[8, 48\]"):
        HuggingFacePolicy(tiny.settings(folders["llama"], peft=Peft(rank=8))).load(str(tmp_path))


def test_a_reward_models_head_is_trained_beside_its_adapters(folders, tmp_path):
    policy = HuggingFacePolicy(tiny.settings(folders["llama"], head="reward", outputs=2, peft=Peft(rank=4)))
    made = tiny.examples(LENGTHS)
    before = policy.scores([padded(made)])[0]
    for _ in range(2):
        policy.train_step([packed(made, 20)], tiny.Squares("scores"), tiny.counts(made))
    (scores,) = policy.scores([padded(made)])
    assert (scores - before).abs().max() > 1e-3
    policy.export(str(tmp_path / "made"))
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "made", dtype=torch.float32)
    applied = of_peft(
        folders["llama"], str(tmp_path / "made" / "adapter"), AutoModelForSequenceClassification, num_labels=2
    )
    for model in (merged, applied):
        rows = [model(torch.from_numpy(one.sequences[0].tokens)[None]).logits[0] for one in made]
        torch.testing.assert_close(torch.stack(rows), scores, rtol=0, atol=1e-5)


def test_half_precision_adapters_step_in_float32(folders):
    policy, _ = trained(folders["llama"], Peft(rank=4), precision="bf16")
    assert {p.dtype for p in policy.network.parameters()} == {torch.bfloat16}
    assert {m.dtype for m in policy.trainer.masters.values()} == {torch.float32}


def test_dropout_of_adapters_drops_in_steps_alone(folders):
    policy = HuggingFacePolicy(tiny.settings(folders["llama"], peft=Peft(dropout=0.5, rank=4)))
    made = tiny.examples(LENGTHS)
    policy.train_step([padded(made)], tiny.CrossEntropy(), tiny.counts(made))
    one, two = (policy.logprobs([padded(made)])[0].logprobs for _ in range(2))
    assert torch.equal(one, two)
    torch.manual_seed(0)
    first = policy.train_step([padded(made)], tiny.CrossEntropy(), tiny.counts(made)).loss
    nll = -(one * padded(made).mask).sum().item() / tiny.counts(made)["tokens"]
    assert first != pytest.approx(nll, rel=1e-4)


def test_bottlenecks_are_saved_and_attached_to_a_model_of_the_same_shape(folders, tmp_path):
    policy, batch = trained(folders["gpt2"], KINDS["adapter"])
    policy.export(str(tmp_path / "made"))
    model = AutoModelForCausalLM.from_pretrained(folders["gpt2"], dtype=torch.float32)
    bottleneck.load(model, str(tmp_path / "made" / "adapter"))
    with torch.no_grad():
        whole = model(batch.tokens).logits.log_softmax(-1)
    (now,) = policy.logprobs([batch])
    theirs = whole[:, :-1].gather(-1, batch.tokens[:, 1:, None])[..., 0]
    torch.testing.assert_close(torch.where(now.logprobs != 0, theirs, 0), now.logprobs, rtol=0, atol=5e-6)
    other = AutoModelForCausalLM.from_pretrained(folders["llama"], dtype=torch.float32)
    with pytest.raises(ModelError, match="fit a model of hidden size 32 with 4 places; this one has 32 and 4"):
        bottleneck.load(other, str(tmp_path / "made" / "adapter"))
    with pytest.raises(ModelError, match="holds no bottleneck adapters"):
        bottleneck.load(other, str(tmp_path))


@pytest.mark.parametrize("name", ["none", "lora", "adapter", "p_tuning"])
def test_an_engine_that_shares_the_weights_generates_what_the_policy_computes(folders, name):
    policy, _ = trained(folders["llama"], KINDS.get(name))
    if name == "p_tuning":
        with pytest.raises(ModelError, match="virtual tokens are not in the model"):
            assert policy.model
        return
    made = tiny.examples([4, 7])
    rows = torch.stack([torch.from_numpy(one.sequences[0].tokens[:4]) for one in made])
    padding = torch.ones_like(rows)
    padding[0, 0] = 0
    out = policy.model.generate(
        rows, attention_mask=padding, max_new_tokens=5, do_sample=False, return_dict_in_generate=True,
        output_scores=True, eos_token_id=None,
    )  # fmt: skip
    for row, first in ((0, 1), (1, 0)):
        tokens = out.sequences[row, first:].numpy()
        example = Example("", (TokenSequence(tokens, np.arange(len(tokens)) > 0),))
        (computed,) = policy.logprobs([padded([example])])
        drawn = torch.stack(
            [s[row].log_softmax(-1)[t] for s, t in zip(out.scores, out.sequences[row, 4:], strict=True)]
        )
        torch.testing.assert_close(computed.logprobs[0, -5:], drawn, rtol=0, atol=1e-5)


def test_adapters_that_fit_no_layer_are_refused(folders):
    with pytest.raises(ModelError, match=r"peft lora does not fit this model: .*no_such_proj"):
        HuggingFacePolicy(tiny.settings(folders["llama"], peft=Peft(targets=("no_such_proj",))))
    with pytest.raises(ModelError, match=r"p_tuning trains language models; this one has head 'reward'"):
        HuggingFacePolicy(tiny.settings(folders["llama"], head="reward", peft=Peft(kind="p_tuning")))


def test_qlora_trains_beside_a_base_of_four_bits(folders, tmp_path):
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        with pytest.raises(ModelError, match="peft kind qlora needs bitsandbytes, which is not installed"):
            HuggingFacePolicy(tiny.settings(folders["llama"], peft=Peft(kind="qlora")))
        pytest.skip("bitsandbytes is not installed")
    folder = tiny.make(tmp_path / "wide", "llama", hidden_size=64, intermediate_size=128)
    base = HuggingFacePolicy(tiny.settings(folder, peft=Peft(kind="qlora"), optimizer=None))
    policy, batch = trained(folder, Peft(kind="qlora", rank=4))
    layer = policy.model.model.layers[0].mlp.up_proj.base_layer
    assert layer.weight.dtype == torch.uint8
    assert layer.weight.numel() == 64 * 128 // 2
    (was,), (now,) = base.logprobs([batch]), policy.logprobs([batch])
    assert 0 < (was.logprobs - plain_logprobs(folder, batch)).abs().mean() < 0.6
    assert (now.logprobs - was.logprobs).abs().max() > 1e-3
    with policy.reference():
        assert torch.equal(policy.logprobs([batch])[0].logprobs, was.logprobs)
    policy.export(str(tmp_path / "made"))
    torch.testing.assert_close(plain_logprobs(str(tmp_path / "made"), batch), now.logprobs, rtol=0, atol=1e-4)
    base.export(str(tmp_path / "dense"))
    made, loss = tiny.examples(LENGTHS), tiny.CrossEntropy()
    of_four, of_dense = (
        gradients(HuggingFacePolicy(tiny.settings(where, peft=Peft(kind=kind))), [batch], loss, tiny.counts(made))
        for where, kind in ((folder, "qlora"), (str(tmp_path / "dense"), "lora"))
    )
    for name, gradient in of_four.items():
        torch.testing.assert_close(gradient, of_dense[name], rtol=0, atol=1e-5)
    assert "quantization_config" not in Path(tmp_path, "made", "config.json").read_text()
