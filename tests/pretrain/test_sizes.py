from __future__ import annotations

import warnings

import pytest

from pretrain.config import Model
from pretrain.sizes import active_weights, flops_per_token, padded_vocabulary, parameters, rank_parameters

LLAMA_8B = Model(layers=32, hidden_size=4096, heads=32, kv_heads=8, ffn_size=14336, vocab_size=128256)
LLAMA_1B = Model(
    layers=16, hidden_size=2048, heads=32, kv_heads=8, ffn_size=8192, vocab_size=128256, tied_embeddings=True
)
MIXTRAL = Model(layers=32, hidden_size=4096, heads=32, kv_heads=8, ffn_size=14336, vocab_size=32000, experts=8)
GPT2 = Model(
    layers=12, hidden_size=768, heads=12, ffn_size=3072, vocab_size=50257, positions=1024, norm="layer",
    activation="gelu_tanh", position_embedding="learned", bias=True, qkv_bias=True, tied_embeddings=True,
)  # fmt: skip
QWEN3 = Model(
    layers=28, hidden_size=1024, heads=16, kv_heads=8, head_dim=128, ffn_size=3072, vocab_size=151936,
    tied_embeddings=True, qk_norm=True,
)  # fmt: skip
QWEN25 = Model(
    layers=24, hidden_size=896, heads=14, kv_heads=2, ffn_size=4864, vocab_size=151936, tied_embeddings=True,
    qkv_bias=True,
)  # fmt: skip


@pytest.mark.parametrize(
    ("model", "total"),
    [
        (LLAMA_8B, 8_030_261_248),  # the safetensors indices on Hugging Face, as all of these
        (LLAMA_1B, 1_235_814_400),
        (MIXTRAL, 46_702_792_704),
        (GPT2, 124_439_808),
        (QWEN3, 596_049_920),  # Qwen3-0.6B
        (QWEN25, 494_032_768),  # Qwen2.5-0.5B
    ],
)
def test_published_models_have_their_published_size(model, total):
    assert parameters(model).total == total


def transformers_model(model: Model):
    import transformers

    shared = {
        "hidden_size": model.hidden_size, "num_hidden_layers": model.layers, "num_attention_heads": model.heads,
        "num_key_value_heads": model.key_heads, "intermediate_size": model.ffn_size, "vocab_size": model.vocab_size,
        "head_dim": model.head_size, "tie_word_embeddings": model.tied_embeddings,
    }  # fmt: skip
    if model.position_embedding == "learned":
        return transformers.GPT2LMHeadModel, transformers.GPT2Config(
            n_embd=model.hidden_size, n_layer=model.layers, n_head=model.heads, n_inner=model.ffn_size,
            vocab_size=model.vocab_size, n_positions=model.positions,
        )  # fmt: skip
    if model.experts:
        return transformers.MixtralForCausalLM, transformers.MixtralConfig(
            **shared, num_local_experts=model.experts, num_experts_per_tok=model.experts_per_token
        )
    if model.qk_norm:
        return transformers.Qwen3ForCausalLM, transformers.Qwen3Config(**shared)
    if model.qkv_bias:
        return transformers.Qwen2ForCausalLM, transformers.Qwen2Config(**shared)
    return transformers.LlamaForCausalLM, transformers.LlamaConfig(**shared)


@pytest.mark.peer
@pytest.mark.parametrize("model", [LLAMA_8B, LLAMA_1B, MIXTRAL, GPT2, QWEN3, QWEN25], ids=range(6))
def test_against_transformers(model):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cls, config = transformers_model(model)
        with torch.device("meta"):
            made = cls(config)
    assert sum(p.numel() for p in made.parameters()) == parameters(model).total


@pytest.mark.parametrize("model", [LLAMA_8B, LLAMA_1B, MIXTRAL, GPT2, QWEN3], ids=range(5))
@pytest.mark.parametrize("pipeline", [1, 2, 4])
def test_stages_of_a_pipeline_hold_the_model_between_them(model, pipeline):
    stages = [rank_parameters(model, pipeline=pipeline, stage=stage) for stage in range(pipeline)]
    padding = (padded_vocabulary(model) - model.vocab_size) * model.hidden_size
    copies = padding * (1 if model.tied_embeddings else 2)
    if model.tied_embeddings and pipeline > 1:
        copies += padded_vocabulary(model) * model.hidden_size  # the last stage's own
    assert sum(stage.total for stage in stages) == parameters(model).total + copies


def test_experts_are_spread_and_not_cut():
    one, spread = rank_parameters(MIXTRAL, tensor=2), rank_parameters(MIXTRAL, tensor=2, expert=4)
    assert spread.experts == one.experts // 4 == parameters(MIXTRAL).experts // 4
    assert spread.dense == one.dense


def test_flops_count_what_a_token_meets():
    # the weights of Mixtral that meet a token are the 12.9 G of its paper, less what is looked up and not multiplied
    looked_up_and_norms = 32000 * 4096 + 65 * 4096
    assert (active_weights(MIXTRAL) + looked_up_and_norms) / 1e9 == pytest.approx(12.88, abs=0.01)
    flops = flops_per_token(LLAMA_8B, 8192)
    assert flops.matmuls == 6 * (parameters(LLAMA_8B).total - 128256 * 4096 - 65 * 4096)
    assert flops.attention == 12 * 32 * 4096 * 8192


def test_flops_against_the_count_of_megatron():
    """Narayanan et al. 2021, equation 3, for a GPT; its 96 holds a recomputation: 72 without."""
    model = Model(layers=96, hidden_size=12288, heads=96, ffn_size=4 * 12288, activation="gelu", vocab_size=51200)
    h, layers, s, vocabulary = 12288, 96, 2048, 51200
    per_token = 72 * layers * h**2 * (1 + s / (6 * h) + vocabulary / (12 * layers * h))
    assert flops_per_token(model, s).total == pytest.approx(per_token, rel=1e-12)
