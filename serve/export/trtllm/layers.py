"""What TensorRT-LLM asks of a checkpoint: the fields its configuration classes know, the tensors its layers hold.

Written from its model classes alone (`tensorrt_llm/models/{llama,qwen,gpt}/model.py`, `layers/{attention,mlp,moe,
embedding}.py`, `PretrainedModel.load`), and reads config.json alone, so that it finds what the writer got wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from serve.errors import ExportError

Shape = tuple[int, ...]
_FIELDS = {  # of PretrainedConfig: what a value may be
    "architecture": str, "dtype": str, "logits_dtype": str, "vocab_size": int, "hidden_size": int,
    "num_hidden_layers": int, "num_attention_heads": int, "num_key_value_heads": int, "head_size": int,
    "intermediate_size": int, "hidden_act": str, "norm_epsilon": float, "max_position_embeddings": int,
    "position_embedding_type": str, "use_parallel_embedding": bool, "embedding_sharding_dim": int,
    "qk_layernorm": bool, "mapping": dict, "quantization": dict,
}  # fmt: skip
_ROPE = {"rotary_embedding_dim": int, "rotary_base": float, "attn_bias": bool, "mlp_bias": bool, "moe": dict}
_CLASSES: dict[str, dict[str, type]] = {  # by architecture: fields that its own configuration class adds
    "LlamaForCausalLM": _ROPE,
    "MixtralForCausalLM": _ROPE,
    "Qwen2ForCausalLM": {**_ROPE, "qwen_type": str, "seq_length": int},
    "Qwen3ForCausalLM": {**_ROPE, "qwen_type": str, "seq_length": int},
    "GPT2LMHeadModel": {"gpt_variant": str, "bias": bool, "q_scaling": float},
}
# These are handed to constructors that take no others.
_MAPPING = {
    "world_size", "gpus_per_node", "cp_size", "cp_config", "tp_size", "pp_size", "moe_cluster_size", "moe_tp_size",
    "moe_ep_size", "attn_tp_size", "attn_cp_size", "auto_parallel", "enable_attention_dp",
}  # fmt: skip
_QUANTIZATION = {"quant_algo", "kv_cache_quant_algo", "group_size", "smoothquant_val", "clamp_val", "use_meta_recipe",
                 "has_zero_point", "pre_quant_scale", "exclude_modules"}  # fmt: skip
_MOE = {"num_experts", "top_k", "normalization_mode", "sparse_mixer_epsilon"}


def check_config(config: Mapping[str, Any]) -> None:
    """Raise ExportError where TensorRT-LLM's configuration classes would refuse config.json, or read it wrong."""
    known = _CLASSES.get(str(config.get("architecture")))
    if known is None:
        raise ExportError(f"config.json: architecture is {config.get('architecture')!r}; {', '.join(_CLASSES)} load")
    for name, kind in {**_FIELDS, **known}.items():
        value = config.get(name)
        if not isinstance(value, (int, float) if kind is float else kind) or (kind is int and isinstance(value, bool)):
            raise ExportError(f"config.json: {name} is {value!r}, and no {kind.__name__}")
    for name, fields in (("mapping", _MAPPING), ("quantization", _QUANTIZATION), ("moe", _MOE)):
        extra = set(config.get(name) or {}) - fields
        if extra:
            raise ExportError(f"config.json: {name} has {sorted(extra)[0]}, which TensorRT-LLM does not take")
    mapping = config["mapping"]
    if mapping["world_size"] != mapping["tp_size"] * mapping["pp_size"] * mapping.get("cp_size", 1):
        raise ExportError(f"config.json: world_size {mapping['world_size']} is not tp_size x pp_size x cp_size")
    scaling = config.get("rotary_scaling")
    if scaling is not None and scaling.get("type") != scaling.get("rope_type"):
        raise ExportError(f"config.json: rotary_scaling is of two types: {scaling}")


def required(config: Mapping[str, Any], rank: int) -> dict[str, tuple[Shape, str]]:
    """Return name, shape and dtype of every tensor that the model of a rank holds when it is loaded."""
    tp, pp = config["mapping"]["tp_size"], config["mapping"]["pp_size"]
    stage = rank // tp
    held = dict(_embeddings(config, tp)) if stage == 0 else {}
    for layer in range(len(stages(config["num_hidden_layers"], pp)[stage])):
        for name, tensor in _layer(config, tp):
            held[f"transformer.layers.{layer}.{name}"] = tensor
    if stage == pp - 1:
        rows = math.ceil(config["vocab_size"] / tp)
        held["lm_head.weight"] = (rows, config["hidden_size"]), config["dtype"]
        held |= {f"transformer.ln_f.{part}": tensor for part, tensor in _norm(config, config["hidden_size"])}
    return held


def stages(layers: int, pp: int) -> list[list[int]]:
    """Return the layers of each pipeline stage, as `Mapping.pp_layers` shares them out: as `torch.tensor_split`."""
    more = layers % pp
    sizes = [layers // pp + (stage < more) for stage in range(pp)]
    ends = [sum(sizes[: stage + 1]) for stage in range(pp)]
    return [list(range(end - size, end)) for size, end in zip(sizes, ends, strict=True)]


def _embeddings(config: Mapping[str, Any], tp: int) -> Iterator[tuple[str, tuple[Shape, str]]]:
    each = tp if config["use_parallel_embedding"] else 1
    hidden, dtype = config["hidden_size"], config["dtype"]
    yield "transformer.vocab_embedding.weight", ((math.ceil(config["vocab_size"] / each), hidden), dtype)
    if config["position_embedding_type"] == "learned_absolute":
        rows = math.ceil(config["max_position_embeddings"] / each)
        yield "transformer.position_embedding.weight", ((rows, hidden), dtype)


def _layer(config: Mapping[str, Any], tp: int) -> Iterator[tuple[str, tuple[Shape, str]]]:
    hidden, d = config["hidden_size"], config["head_size"]
    for norm in ("input_layernorm", "post_layernorm"):
        yield from ((f"{norm}.{part}", tensor) for part, tensor in _norm(config, hidden))
    heads, keys = config["num_attention_heads"] // tp, math.ceil(config["num_key_value_heads"] / tp)
    gpt = config["architecture"].startswith("GPT")
    qkv_bias = config["bias"] if gpt else config["attn_bias"]
    yield from _linear(config, "attention.qkv", (heads + 2 * keys) * d, hidden, qkv_bias)
    dense_bias = qkv_bias and not config["architecture"].startswith("Qwen")
    yield from _linear(config, "attention.dense", hidden, heads * d, dense_bias)
    if config["architecture"] == "Qwen3ForCausalLM":
        yield from ((f"attention.{name}_layernorm.weight", ((d,), config["dtype"])) for name in "qk")
    if config["quantization"]["kv_cache_quant_algo"]:
        yield "attention.kv_cache_scaling_factor", ((1,), "float32")
    inner, experts = config["intermediate_size"] // tp, config["moe"]["num_experts"]
    if experts:
        yield "mlp.router.weight", ((experts, hidden), "float32")
        yield from _linear(config, "mlp.fc", 2 * inner, hidden, False, experts)
        yield from _linear(config, "mlp.proj", hidden, inner, False, experts)
        return
    bias = config["bias"] if gpt else config["mlp_bias"]
    for name in ("fc",) if gpt else ("fc", "gate"):
        yield from _linear(config, f"mlp.{name}", inner, hidden, bias)
    yield from _linear(config, "mlp.proj", hidden, inner, bias)


def _linear(
    config: Mapping[str, Any], name: str, rows: int, columns: int, bias: bool, experts: int = 0
) -> Iterator[tuple[str, tuple[Shape, str]]]:
    fp8 = config["quantization"]["quant_algo"] == "FP8"
    shape = (experts, rows, columns) if experts else (rows, columns)
    # W8A16 and W4A16 quantise when they are loaded: the file has what is not quantised yet
    yield f"{name}.weight", (shape, "float8_e4m3fn" if fp8 else config["dtype"])
    if fp8:
        yield f"{name}.weights_scaling_factor", ((experts, 1) if experts else (1,), "float32")
        yield f"{name}.activation_scaling_factor", ((1,), "float32")
    if bias:
        yield f"{name}.bias", ((rows,), config["dtype"])


def _norm(config: Mapping[str, Any], size: int) -> Iterator[tuple[str, tuple[Shape, str]]]:
    yield "weight", ((size,), config["dtype"])
    if config["architecture"].startswith("GPT"):
        yield "bias", ((size,), config["dtype"])
