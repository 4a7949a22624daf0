"""config.json of every family, and what is refused."""

from __future__ import annotations

import dataclasses
import json

import pytest

from pretrain.config import Model, RopeScaling
from pretrain.errors import WeightsError
from pretrain.hf.config import config_json, family_of, read_config
from tests.pretrain.hf.models import MODELS

LLAMA, GPT2 = MODELS["llama"][2], MODELS["gpt2"][2]


def folder(tmp_path, family: str, **fields):
    """Write a config.json as transformers would, but for what it leaves out, and return the folder."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family, **fields}))
    return str(tmp_path)


@pytest.mark.parametrize("name", MODELS)
def test_transformers_fields_are_our_model(tmp_path, name):
    family, fields, model = MODELS[name]
    read = read_config(folder(tmp_path, family, **fields))
    assert normal(read) == normal(dataclasses.replace(model, dropout=read.dropout))


def normal(model: Model) -> Model:
    """Say what None stands for."""
    return dataclasses.replace(model, kv_heads=model.key_heads, head_dim=model.head_size)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_written_is_read(tmp_path, name):
    family, _, model = MODELS[name]
    assert family_of(model) == family
    made = config_json(model, "bfloat16", 7)
    (tmp_path / "config.json").write_text(json.dumps(made))
    assert normal(read_config(str(tmp_path))) == normal(model)
    assert (made["torch_dtype"], made["eos_token_id"], made["bos_token_id"]) == ("bfloat16", 7, None)


def test_rope_in_old_and_new_spelling(tmp_path):
    scaled = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 8192}  # fmt: skip
    fields = MODELS["llama"][1]
    wanted = RopeScaling(8.0, 1.0, 4.0, 8192)
    for spelling in (
        {"rope_theta": 5e5, "rope_scaling": scaled},
        {"rope_theta": 5e5, "rope_scaling": {**scaled, "type": "llama3"}},
        {"rope_parameters": {**scaled, "rope_theta": 5e5}},
        {"rope_theta": 5e5, "rope_scaling": scaled, "rope_parameters": {**scaled, "rope_theta": 5e5}},
    ):
        read = read_config(folder(tmp_path, "llama", **{**fields, **spelling}))
        assert (read.rope_theta, read.rope_scaling) == (5e5, wanted)
    for spelling in (
        {"rope_theta": 5e5},
        {"rope_theta": 5e5, "rope_scaling": None},
        {"rope_parameters": {"rope_theta": 5e5}},
    ):
        read = read_config(folder(tmp_path, "llama", **{**fields, **spelling}))
        assert (read.rope_theta, read.rope_scaling) == (5e5, None)


SLIDING = {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}
REFUSED = [
    ("llama", {"hidden_act": "relu"}, "hidden_act is 'relu'; known: silu"),
    ("llama", {"attention_bias": True}, "mlp_bias is False; both or neither"),
    ("qwen3", {"attention_bias": True}, "attention_bias is True"),
    ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling.rope_type is 'linear'"),
    ("llama", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_parameters.rope_type is 'yarn'"),
    ("llama", {"rope_scaling": {"rope_type": "llama3", "factor": 2.0}}, "has no low_freq_factor, high_freq_factor"),
    ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5"),
    ("llama", {"attention_dropout": 0.1}, "attention_dropout is 0.1"),
    ("llama", {"quantization_config": {"bits": 4}}, "quantization_config is"),
    ("llama", {"num_hidden_layers": None}, "num_hidden_layers is None"),
    ("llama", {"num_key_value_heads": 3}, "model.heads 8 is not a multiple"),
    ("qwen2", SLIDING, "sliding_window is 16"),
    ("qwen3", {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types is 'sliding_attention'"),
    ("mixtral", {"sliding_window": 16}, "sliding_window is 16"),
    ("mixtral", {"router_jitter_noise": 0.1}, "router_jitter_noise is 0.1"),
    ("gpt2", {"activation_function": "relu"}, "activation_function is 'relu'"),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
    ("gpt2", {"resid_pdrop": 0.2}, "must be the same"),
    ("qwen", {}, r"model_type is 'qwen'; known: llama.*Did you mean qwen"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "fields", "said"), REFUSED)
def test_what_a_model_cannot_say_is_refused_by_name(tmp_path, family, fields, said):
    usual = MODELS.get(family, MODELS["qwen2"])[1]
    with pytest.raises(WeightsError, match=said):
        read_config(folder(tmp_path, family, **{**usual, **fields}))


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("qwen2", {"use_sliding_window": False, "sliding_window": 16}),
        ("qwen2", {**SLIDING, "max_window_layers": 2}),
        ("qwen3", {"layer_types": ["full_attention"] * 2, "sliding_window": 16}),
        ("mixtral", {"sliding_window": 32}),
    ],
)
def test_a_window_that_is_never_used_does_no_harm(tmp_path, family, fields):
    read_config(folder(tmp_path, family, **{**MODELS[family][1], **fields}))


def test_a_folder_without_config_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="is no Hugging Face folder"):
        read_config(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="is not a JSON file"):
        read_config(str(tmp_path))


@pytest.mark.parametrize(
    ("model", "changes", "said"),
    [
        (LLAMA, {"norm": "layer"}, "norm 'layer'"),
        (LLAMA, {"activation": "gelu"}, "activation 'gelu'"),
        (LLAMA, {"bias": True}, "bias True"),
        (LLAMA, {"qk_norm": True, "qkv_bias": True}, "Qwen3ForCausalLM is nearest.*qkv_bias True"),
        (LLAMA, {"qk_norm": True, "experts": 4}, "MixtralForCausalLM is nearest.*qk_norm True"),
        (LLAMA, {"qkv_bias": True, "head_dim": 16}, "head_size 16"),
        (GPT2, {"bias": False}, "bias False"),
        (GPT2, {"activation": "swiglu"}, "activation 'swiglu'"),
        (GPT2, {"kv_heads": 4}, "key_heads 4"),
        (GPT2, {"norm": "rms"}, "norm 'rms'"),
    ],
)
def test_a_model_of_no_family_is_refused_with_the_fields(model, changes, said):
    with pytest.raises(WeightsError, match=said):
        family_of(dataclasses.replace(model, **changes))
