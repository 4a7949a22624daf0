"""Tiny models of every family: as transformers configures them, and as ours."""

from __future__ import annotations

from typing import Any

from pretrain.config import Model, RopeScaling

VOCABULARY, LENGTH = 500, 32
_ROPE = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": LENGTH,
}  # fmt: skip
_OURS: dict[str, Any] = {
    "layers": 2, "hidden_size": 64, "heads": 8, "kv_heads": 4, "ffn_size": 96, "vocab_size": VOCABULARY,
    "positions": LENGTH,
}  # fmt: skip
_SCALED = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 16, "rope_theta": 500.0}  # fmt: skip

# name -> (family, fields of transformers' configuration, our model)
MODELS: dict[str, tuple[str, dict[str, Any], Model]] = {
    "llama": ("llama", {**_ROPE, "rms_norm_eps": 1e-5}, Model(**_OURS, head_dim=8)),
    "llama, scaled, tied, biased": (
        "llama",
        {**_ROPE, "rms_norm_eps": 1e-3, "rope_parameters": _SCALED, "tie_word_embeddings": True, "head_dim": 16,
         "attention_bias": True, "mlp_bias": True},
        Model(**_OURS, head_dim=16, norm_eps=1e-3, rope_theta=500.0, rope_scaling=RopeScaling(4.0, 1.0, 4.0, 16),
              tied_embeddings=True, qkv_bias=True, bias=True),
    ),
    "qwen2": (
        "qwen2", {**_ROPE, "tie_word_embeddings": True, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
        Model(**_OURS, norm_eps=1e-6, tied_embeddings=True, qkv_bias=True, rope_theta=1e6),
    ),
    "qwen3": ("qwen3", {**_ROPE, "head_dim": 16}, Model(**_OURS, norm_eps=1e-6, head_dim=16, qk_norm=True)),
    "mixtral": (
        "mixtral", {**_ROPE, "num_local_experts": 4, "num_experts_per_tok": 2, "router_aux_loss_coef": 0.01},
        Model(**_OURS, head_dim=8, rope_theta=1e6, experts=4, experts_per_token=2),
    ),
    "gpt2": (
        "gpt2",
        {"vocab_size": VOCABULARY, "n_embd": 64, "n_layer": 2, "n_head": 8, "n_positions": LENGTH, "n_inner": 96,
         "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
        Model(layers=2, hidden_size=64, heads=8, ffn_size=96, vocab_size=VOCABULARY, positions=LENGTH, norm="layer",
              activation="gelu_tanh", position_embedding="learned", tied_embeddings=True, qkv_bias=True, bias=True),
    ),
}  # fmt: skip
