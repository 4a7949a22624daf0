"""A written checkpoint as TensorRT-LLM understands it, in Hugging Face's names: what its test computes with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from serve.export.trtllm.join import Checkpoint

_TYPES = {
    "LlamaForCausalLM": "llama", "MixtralForCausalLM": "mixtral", "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3", "GPT2LMHeadModel": "gpt2",
}  # fmt: skip
_BITS = {"W8A16": 8, "W4A16": 4}


class Read:
    """A checkpoint folder, its ranks put together. Raises ExportError as `Checkpoint` does.

    rounded: weights that TensorRT-LLM quantises when it loads them (W8A16, W4A16) are rounded as there.
    """

    def __init__(self, folder: str, rounded: bool = False):
        bits = 0
        self._checkpoint = Checkpoint(folder, lambda name, tensor: _rounded(name, tensor, bits) if bits else tensor)
        told = self._checkpoint.config
        bits = _BITS.get(str(told["quantization"]["quant_algo"]), 0) if rounded else 0
        self.config, self.shapes = understood(told), dict(shapes(told))
        self._kept: tuple[str, Any] = ("", None)  # the last tensor, which is asked for part by part
        found = [float(value.max()) for _, value in self._checkpoint.scales()]
        self.scales = (min(found), max(found)) if found else None

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return a part of a tensor as it is computed with; FP8 weights as float32."""
        if self._kept[0] != name:
            self._kept = name, self._checkpoint.tensor(name)
        whole = self._kept[1]
        return whole[tuple(slice(*bound) for bound in bounds)] if bounds else whole

    def inputs(self, layer: str) -> Callable[[Any], Any] | None:
        """Return how TensorRT-LLM rounds what an FP8 layer multiplies."""
        import torch

        scale = self._checkpoint.input_scale(layer)
        if scale is None:
            return None
        return lambda x: (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn).float() * scale


def _rounded(name: str, tensor: Any, bits: int) -> Any:
    """Return a rank's weights, (..., out, in), after symmetric_quantize: a scale a row, the largest / 2^(bits-1).

    Source: cpp/tensorrt_llm/kernels/cutlass_kernels/cutlass_preprocessors.cpp.
    """
    if not name.endswith(("qkv.weight", "dense.weight", "fc.weight", "gate.weight", "proj.weight")):
        return tensor
    half = 1 << (bits - 1)
    exact = tensor.float()
    scale = exact.abs().amax(dim=-1, keepdim=True).clamp(min=1e-30) / half
    return ((exact / scale).round().clamp(-half, half - 1) * scale).to(tensor.dtype)


def shapes(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the Hugging Face tensors of the model that a checkpoint's configuration describes."""
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    gpt = config["architecture"].startswith("GPT")
    outer = "transformer." if gpt else "model."
    yield (outer + ("wte.weight" if gpt else "embed_tokens.weight")), (vocabulary, hidden)
    if gpt:
        yield outer + "wpe.weight", (config["max_position_embeddings"], hidden)
    for layer in range(config["num_hidden_layers"]):
        inside = _gpt(config) if gpt else _rope(config)
        yield from ((f"{outer}{'h' if gpt else 'layers'}.{layer}.{name}", shape) for name, shape in inside)
    for part in ("weight", "bias") if gpt else ("weight",):
        yield f"{outer}{'ln_f' if gpt else 'norm'}.{part}", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (vocabulary, hidden)


def _gpt(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    for name, rows, columns in (
        ("attn.c_attn", hidden, 3 * hidden), ("attn.c_proj", hidden, hidden), ("mlp.c_fc", hidden, inner),
        ("mlp.c_proj", inner, hidden),
    ):  # fmt: skip
        yield f"{name}.weight", (rows, columns)
        yield f"{name}.bias", (columns,)
    yield from ((f"ln_{number}.{part}", (hidden,)) for number in (1, 2) for part in ("weight", "bias"))


def _rope(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, inner, d = config["hidden_size"], config["intermediate_size"], config["head_size"]
    q, k = config["num_attention_heads"] * d, config["num_key_value_heads"] * d
    yield from ((f"{norm}.weight", (hidden,)) for norm in ("input_layernorm", "post_attention_layernorm"))
    for name, rows in (("q", q), ("k", k), ("v", k)):
        yield f"self_attn.{name}_proj.weight", (rows, hidden)
        if config["attn_bias"]:
            yield f"self_attn.{name}_proj.bias", (rows,)
    yield "self_attn.o_proj.weight", (hidden, q)
    if config["attn_bias"] and not config["architecture"].startswith("Qwen"):
        yield "self_attn.o_proj.bias", (hidden,)
    if config["qk_layernorm"]:
        yield from ((f"self_attn.{name}_norm.weight", (d,)) for name in "qk")
    experts = config["moe"]["num_experts"]
    if experts:
        yield "block_sparse_moe.gate.weight", (experts, hidden)
    for expert in range(experts):
        for name, shape in (("w1", (inner, hidden)), ("w2", (hidden, inner)), ("w3", (inner, hidden))):
            yield f"block_sparse_moe.experts.{expert}.{name}.weight", shape
    if experts:
        return
    for name, shape in (("gate", (inner, hidden)), ("up", (inner, hidden)), ("down", (hidden, inner))):
        yield f"mlp.{name}_proj.weight", shape
        if config["mlp_bias"]:
            yield f"mlp.{name}_proj.bias", shape[:1]


def understood(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json of transformers for what TensorRT-LLM's configuration says, from it alone."""
    kind = _TYPES[config["architecture"]]
    told = {
        "model_type": kind, "vocab_size": config["vocab_size"], "tie_word_embeddings": config["tie_word_embeddings"],
    }  # fmt: skip
    if kind == "gpt2":
        # its functional.gelu is by tanh, whichever is named
        return told | {
            "n_layer": config["num_hidden_layers"], "n_embd": config["hidden_size"],
            "n_head": config["num_attention_heads"], "n_inner": config["intermediate_size"],
            "n_positions": config["max_position_embeddings"], "layer_norm_epsilon": config["norm_epsilon"],
            "activation_function": "gelu_new",
        }  # fmt: skip
    rope: dict[str, Any] = {"rope_type": "default"}
    if config["rotary_scaling"]:
        rope = {name: value for name, value in config["rotary_scaling"].items() if name != "type"}
    told |= {
        "num_hidden_layers": config["num_hidden_layers"], "hidden_size": config["hidden_size"],
        "num_attention_heads": config["num_attention_heads"], "head_dim": config["head_size"],
        "num_key_value_heads": config["num_key_value_heads"], "intermediate_size": config["intermediate_size"],
        "hidden_act": "silu", "rms_norm_eps": config["norm_epsilon"], "attention_bias": config["attn_bias"],
        "max_position_embeddings": config["max_position_embeddings"],
        "rope_parameters": {**rope, "rope_theta": config["rotary_base"]},
    }  # fmt: skip
    if kind == "llama":
        told["mlp_bias"] = config["mlp_bias"]
    if kind == "mixtral":
        moe = config["moe"]
        told |= {"num_local_experts": moe["num_experts"], "num_experts_per_tok": moe["top_k"], "sliding_window": None}
    return told
