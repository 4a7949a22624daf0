"""Which modules make a layer: Transformer Engine's where it is installed, else Megatron's own with our attention."""

from __future__ import annotations

from importlib.util import find_spec

from megatron.core.models.gpt.gpt_layer_specs import (
    get_gpt_layer_local_spec,
    get_gpt_layer_with_transformer_engine_spec,
)
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build
from megatron.core.transformer.transformer_config import TransformerConfig

from pretrain.mcore.attention import DocumentAttention
from pretrain.mcore.norms import HeadNorm, Norm


def have_te() -> bool:
    """Tell whether Transformer Engine is installed."""
    return find_spec("transformer_engine") is not None


def te_attention(config: TransformerConfig) -> bool:
    """Tell whether Transformer Engine attends. Not under context parallelism: there it wants documents padded."""
    return have_te() and config.context_parallel_size == 1


def block(
    config: TransformerConfig, vp_stage: int | None = None, te: bool | None = None
) -> ModuleSpec | TransformerBlockSubmodules:
    """Return what `GPTModel` builds its layers from. te: Transformer Engine's, None: where it is installed."""
    moe, qk_norm = config.num_moe_experts, config.qk_layernorm
    if have_te() if te is None else te:
        layer = get_gpt_layer_with_transformer_engine_spec(moe, config.moe_grouped_gemm, qk_norm)
        if not te_attention(config):
            layer.submodules.self_attention.submodules.core_attention = DocumentAttention
        return layer
    layer = get_gpt_layer_local_spec(moe, False, qk_norm, normalization=config.normalization)
    parts = layer.submodules
    parts.input_layernorm = parts.pre_mlp_layernorm = Norm
    parts.self_attention.submodules.core_attention = DocumentAttention
    if qk_norm:
        parts.self_attention.submodules.q_layernorm = parts.self_attention.submodules.k_layernorm = HeadNorm
    layers = [layer] * get_num_layers_to_build(config, vp_stage=vp_stage)
    return TransformerBlockSubmodules(layer_specs=layers, layer_norm=Norm)
