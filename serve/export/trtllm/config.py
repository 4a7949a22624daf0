"""config.json of a TensorRT-LLM checkpoint.

Fields are those of `PretrainedConfig` (tensorrt_llm/models/modeling_utils.py), `LLaMAConfig`, `QWenConfig` and
`GPTConfig` in TensorRT-LLM 1.0 to 1.2, each as its own converter writes it.
"""

from __future__ import annotations

from typing import Any

from millrace import __version__
from pretrain.config import Model
from pretrain.hf.config import ARCHITECTURES

ALGORITHMS = {"none": None, "fp8": "FP8", "w8a16": "W8A16", "w4a16": "W4A16"}
# What stays as it is when layers are quantised: patterns of names, as tensorrt_llm/quantization/quantize.py has them.
EXCLUDED = ["*lm_head", "*router", "*vocab_embedding", "*position_embedding"]
RENORMALIZE = 1  # MoeConfig.ExpertScaleNormalizationMode: weights of the chosen experts sum to 1, as Mixtral's do


def checkpoint_config(
    model: Model, family: str, tp: int, pp: int, dtype: str, quantization: str, kv_cache: str, parallel_embedding: bool
) -> dict[str, Any]:
    """Return config.json of a checkpoint. dtype, quantization, kv_cache, ...: of `TensorrtLlm`."""
    written = {
        "producer": {"name": "millrace", "version": __version__},
        "architecture": ARCHITECTURES[family], "dtype": dtype, "logits_dtype": "float32",
        "vocab_size": model.vocab_size, "hidden_size": model.hidden_size, "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads, "num_key_value_heads": model.key_heads, "head_size": model.head_size,
        "intermediate_size": model.ffn_size, "norm_epsilon": model.norm_eps,
        "max_position_embeddings": model.positions, "qk_layernorm": model.qk_norm,
        "use_parallel_embedding": parallel_embedding, "embedding_sharding_dim": 0,
        "tie_word_embeddings": model.tied_embeddings,
        "mapping": {"world_size": tp * pp, "tp_size": tp, "pp_size": pp, "cp_size": 1,
                    "moe_tp_size": tp, "moe_ep_size": 1},
        "quantization": _quantization(quantization, kv_cache),
        "moe": {"num_experts": model.experts or 0, "top_k": model.experts_per_token if model.experts else 0,
                "normalization_mode": RENORMALIZE if model.experts else 0},
    }  # fmt: skip
    return written | (_gpt(model) if family == "gpt2" else _rope(model, family))


def _quantization(quantization: str, kv_cache: str) -> dict[str, Any]:
    algorithm = ALGORITHMS[quantization]
    return {
        "quant_algo": algorithm, "kv_cache_quant_algo": "FP8" if kv_cache == "fp8" else None, "group_size": 128,
        "smoothquant_val": 0.5, "clamp_val": None, "use_meta_recipe": False, "has_zero_point": False,
        "pre_quant_scale": False, "exclude_modules": EXCLUDED if algorithm else None,
    }  # fmt: skip


def _rope(model: Model, family: str) -> dict[str, Any]:
    scaling = None
    if model.rope_scaling is not None:
        given = model.rope_scaling
        scaling = {
            "type": "llama3", "rope_type": "llama3",  # either is read, by one release or another
            "factor": given.factor, "low_freq_factor": given.low_freq_factor,
            "high_freq_factor": given.high_freq_factor,
            "original_max_position_embeddings": given.original_positions,
        }  # fmt: skip
    written = {
        "position_embedding_type": "rope_gpt_neox", "rotary_embedding_dim": model.head_size,
        "rotary_base": model.rope_theta, "rotary_scaling": scaling,
        # experts are of one matrix, of both: that they are gated must be said; GatedMLP is gated whatever is said
        "hidden_act": "swiglu" if model.experts else "silu",
        "attn_bias": model.qkv_bias, "mlp_bias": model.bias, "disable_weight_only_quant_plugin": False,
    }  # fmt: skip
    if family in ("qwen2", "qwen3"):
        return written | {
            "qwen_type": family, "seq_length": model.positions, "use_logn_attn": False, "num_labels": 1,
            "moe_intermediate_size": 0, "moe_shared_expert_intermediate_size": 0, "mlp_only_layers": [],
            "decoder_sparse_step": 1,
        }  # fmt: skip
    return written | {"residual_mlp": False, "remove_duplicated_kv_heads": False}


def _gpt(model: Model) -> dict[str, Any]:
    return {
        "gpt_variant": "gpt2", "position_embedding_type": "learned_absolute",
        "hidden_act": "gelu_new" if model.activation == "gelu_tanh" else "gelu", "bias": True, "q_scaling": 1.0,
        "embedding_scale": None, "apply_query_key_layer_scaling": False, "rotary_pct": 1.0, "rotary_base": 10000.0,
        "rotary_scaling": None, "inner_layernorm": False, "norm_before_bmm1": False,
    }  # fmt: skip
