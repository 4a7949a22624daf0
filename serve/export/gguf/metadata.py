"""The shape of a model in GGUF's words, and back in those of config.json."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from serve.errors import ExportError
from serve.export.gguf.tensors import ARCHITECTURES
from serve.export.source import Source


def add(writer: Any, source: Source, name: str, file_type: int) -> None:
    """Write the keys of general.* and of the architecture."""
    import gguf

    model = source.model
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(model.layers)
    writer.add_context_length(model.positions)
    writer.add_embedding_length(model.hidden_size)
    writer.add_feed_forward_length(model.ffn_size)
    writer.add_head_count(model.heads)
    writer.add_vocab_size(model.vocab_size)
    if source.family == "gpt2":
        writer.add_layer_norm_eps(model.norm_eps)
        return
    writer.add_head_count_kv(model.key_heads)
    writer.add_layer_norm_rms_eps(model.norm_eps)
    writer.add_key_length(model.head_size)
    writer.add_value_length(model.head_size)
    writer.add_rope_dimension_count(model.head_size)
    writer.add_rope_freq_base(model.rope_theta)
    if model.experts:
        writer.add_expert_count(model.experts)
        writer.add_expert_used_count(model.experts_per_token)


def read(get: Callable[[str], Any], tensors: Collection[str], rope_scaling: dict[str, Any] | None) -> dict[str, Any]:
    """Return a config.json of what a file says: get gives a key's value or None, tensors are the file's names.

    rope_scaling: what the factors in the file were computed of, which they do not tell. Raises ExportError for a key
    that is missing.
    """
    architecture = str(get("general.architecture"))

    def key(name: str) -> Any:
        value = get(f"{architecture}.{name}")
        if value is None:
            raise ExportError(f"what was written has no {architecture}.{name}")
        return value

    tied = "output.weight" not in tensors
    made = {"vocab_size": key("vocab_size"), "tie_word_embeddings": tied}
    if architecture == "gpt2":
        return made | {
            "model_type": "gpt2", "n_layer": key("block_count"), "n_positions": key("context_length"),
            "n_embd": key("embedding_length"), "n_inner": key("feed_forward_length"),
            "n_head": key("attention.head_count"), "layer_norm_epsilon": key("attention.layer_norm_epsilon"),
            "activation_function": "gelu_new",  # what llama.cpp computes for this architecture
        }  # fmt: skip
    if key("attention.key_length") != key("rope.dimension_count"):
        raise ExportError("what was written turns a part of each head only")
    made |= {
        "model_type": architecture, "num_hidden_layers": key("block_count"), "hidden_size": key("embedding_length"),
        "max_position_embeddings": key("context_length"), "intermediate_size": key("feed_forward_length"),
        "num_attention_heads": key("attention.head_count"), "num_key_value_heads": key("attention.head_count_kv"),
        "head_dim": key("attention.key_length"), "rms_norm_eps": key("attention.layer_norm_rms_epsilon"),
        "hidden_act": "silu",
        "rope_parameters": {"rope_type": "default", **(rope_scaling or {}), "rope_theta": key("rope.freq_base")},
    }  # fmt: skip
    if architecture == "llama":
        made |= {"attention_bias": "blk.0.attn_q.bias" in tensors, "mlp_bias": "blk.0.ffn_gate.bias" in tensors}
    if get(f"{architecture}.expert_count"):
        made |= {
            "model_type": "mixtral", "num_local_experts": key("expert_count"),
            "num_experts_per_tok": key("expert_used_count"),
        }  # fmt: skip
    return made


def refuse(source: Source) -> None:
    """Raise ExportError for a model that llama.cpp computes otherwise."""
    if source.outputs:
        raise ExportError(f"{source.name} scores sequences; gguf takes language models")
    if source.family not in ARCHITECTURES:
        raise ExportError(f"gguf takes {', '.join(ARCHITECTURES)}; {source.name} is a {source.family} model")
    if source.family == "gpt2" and source.model.activation != "gelu_tanh":
        raise ExportError(f"{source.name} has the exact GELU; llama.cpp computes a gpt2 with its tanh form")
