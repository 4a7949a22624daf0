import pytest

from serve.errors import ExportError
from serve.export.trtllm.config import checkpoint_config
from serve.export.trtllm.layers import check_config, required, stages
from tests.serve.export.trtllm import models


def config(source, tp=1, pp=1, quantization="none", kv_cache="", parallel=True):
    return checkpoint_config(source.model, source.family, tp, pp, "bfloat16", quantization, kv_cache, parallel)


@pytest.mark.parametrize("name", models.KINDS)
def test_configurations_are_what_the_classes_take(sources, name):
    check_config(config(sources(name), 2, 2))


def test_rotary_positions_are_said(sources):
    made = config(sources("llama_scaled"))
    assert made["rotary_scaling"] == {
        "type": "llama3", "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }  # fmt: skip
    assert config(sources("llama"))["rotary_base"] == 500_000.0
    assert config(sources("llama"))["position_embedding_type"] == "rope_gpt_neox"
    assert config(sources("gpt2"))["position_embedding_type"] == "learned_absolute"


def test_experts_are_said_to_be_gated_and_renormalised(sources):
    made = config(sources("mixtral"), tp=2)
    assert made["hidden_act"] == "swiglu"
    assert made["moe"] == {"num_experts": 3, "top_k": 2, "normalization_mode": 1}
    assert (made["mapping"]["moe_tp_size"], made["mapping"]["moe_ep_size"]) == (2, 1)


def test_quantisation_is_said_with_what_it_leaves_out(sources):
    assert config(sources("llama"))["quantization"]["exclude_modules"] is None
    made = config(sources("llama"), quantization="w4a16", kv_cache="fp8")["quantization"]
    assert (made["quant_algo"], made["kv_cache_quant_algo"]) == ("W4A16", "FP8")
    assert "*lm_head" in made["exclude_modules"]
    assert "*router" in made["exclude_modules"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": "Llama"}, "architecture is 'Llama'"),
        ({"rotary_base": None}, "rotary_base is None"),
        ({"vocab_size": True}, "vocab_size is True"),
        ({"mapping": {"world_size": 3, "tp_size": 2, "pp_size": 2}}, "world_size 3"),
        ({"quantization": {"quant_method": "fp8"}}, "quantization has quant_method"),
        ({"moe": {"experts": 3}}, "moe has experts"),
        ({"rotary_scaling": {"type": "linear", "rope_type": "llama3"}}, "of two types"),
    ],
)
def test_configurations_that_would_be_refused_or_read_wrong_are_found(sources, change, said):
    with pytest.raises(ExportError, match=said):
        check_config(config(sources("llama")) | change)


def test_stages_are_those_of_tensor_split():
    import torch

    for layers in range(1, 12):
        for pp in range(1, layers + 1):
            theirs = torch.tensor_split(torch.arange(layers), pp)
            assert stages(layers, pp) == [part.tolist() for part in theirs]


def test_what_a_rank_must_hold(sources):
    held = required(config(sources("llama"), 2, 2, "fp8", "fp8"), 3)
    assert held["lm_head.weight"] == ((51, 32), "bfloat16")
    assert held["transformer.layers.0.attention.qkv.weight"] == ((32, 32), "float8_e4m3fn")
    assert held["transformer.layers.0.attention.kv_cache_scaling_factor"] == ((1,), "float32")
    assert "transformer.vocab_embedding.weight" not in held
