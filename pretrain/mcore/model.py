"""The model: Megatron's configuration from ours, its chunks on this rank, and their first weights."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core import parallel_state
from megatron.core.dist_checkpointing.mapping import ShardedTensor, ShardedTensorFactory
from megatron.core.models.gpt import GPTModel
from megatron.core.tensor_parallel import ColumnParallelLinear
from megatron.core.transformer.module import Float16Module
from megatron.core.transformer.transformer_config import TransformerConfig

from pretrain.config import Config, Model
from pretrain.errors import SettingsError
from pretrain.mcore import specs
from pretrain.sizes import padded_vocabulary

ACTIVATIONS = {"swiglu": F.silu, "gelu": F.gelu, "gelu_tanh": functools.partial(F.gelu, approximate="tanh")}
RESIDUAL = ("linear_proj.weight", "linear_fc2.weight")  # layers that write to the residual stream


def transformer_config(config: Config, te: bool | None = None) -> TransformerConfig:
    """Return Megatron's configuration of a finished one of ours. Raises SettingsError for FP8 without its library.

    te: layers are Transformer Engine's; None: where it is installed.
    """
    model, training, parallel = config.model, config.training, config.parallel
    assert model is not None
    cuda, te = torch.cuda.is_available(), specs.have_te() if te is None else te
    if training.precision == "fp8" and not te:
        raise SettingsError("training.precision fp8 needs the package transformer_engine; bf16 and fp32 do not")
    dtype = torch.float32 if training.precision == "fp32" else torch.bfloat16
    settings: dict[str, Any] = {
        "num_layers": model.layers, "hidden_size": model.hidden_size, "ffn_hidden_size": model.ffn_size,
        "num_attention_heads": model.heads, "num_query_groups": model.key_heads, "kv_channels": model.head_size,
        "normalization": "RMSNorm" if model.norm == "rms" else "LayerNorm", "layernorm_epsilon": model.norm_eps,
        "gated_linear_unit": model.activation == "swiglu", "activation_func": ACTIVATIONS[model.activation],
        "add_bias_linear": model.bias, "add_qkv_bias": model.qkv_bias, "qk_layernorm": model.qk_norm,
        "hidden_dropout": model.dropout, "attention_dropout": model.dropout,
        # `initialize` fills the weights; without these calls Megatron does not mark which are cut by tensor parallelism
        "init_method": _untouched, "output_layer_init_method": _untouched, "embedding_init_method": _untouched,
        "params_dtype": dtype, "pipeline_dtype": dtype, "bf16": dtype == torch.bfloat16,
        "tensor_model_parallel_size": parallel.tensor, "pipeline_model_parallel_size": parallel.pipeline,
        "virtual_pipeline_model_parallel_size": parallel.virtual_pipeline if parallel.virtual_pipeline > 1 else None,
        "context_parallel_size": parallel.context, "expert_model_parallel_size": parallel.expert,
        "expert_tensor_parallel_size": 1 if model.experts else None, "sequence_parallel": bool(parallel.sequence),
        "calculate_per_token_loss": True,  # a sum over labels by their global count: no split of a batch changes it
        "bias_activation_fusion": cuda, "bias_dropout_fusion": cuda, "cross_entropy_loss_fusion": cuda,
        "apply_rope_fusion": te, "masked_softmax_fusion": False, "persist_layer_norm": te,
        "gradient_accumulation_fusion": False,
    }  # fmt: skip
    if (
        parallel.virtual_pipeline > 1
    ):  # two stages would take the other's activations for gradients if sent in one batch
        settings |= {"overlap_p2p_comm": True, "batch_p2p_comm": False}
    if training.recompute == "full":
        settings |= {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
    elif training.recompute == "selective":
        settings |= {"recompute_granularity": "selective"}
    if model.experts:
        settings |= {
            "num_moe_experts": model.experts, "moe_router_topk": model.experts_per_token, "moe_grouped_gemm": te,
            "moe_ffn_hidden_size": model.ffn_size, "moe_aux_loss_coeff": model.aux_loss,
            "moe_router_load_balancing_type": "aux_loss" if model.aux_loss else "none",
            "moe_token_dispatcher_type": "alltoall",
        }  # fmt: skip
    if training.precision == "fp8":
        settings |= {"fp8": "hybrid", "fp8_recipe": "tensorwise"}
    return TransformerConfig(**settings)


def places(chunk: Any) -> dict[str, Any]:
    """Return a chunk's tensors with their places in the whole model; keys name the layer, instead of stacking layers.

    The metadata are new each time: Megatron writes its groups into them.
    """
    found: dict[str, Any] = chunk.sharded_state_dict(metadata={"non_homogeneous_layers": True})
    return found


def _untouched(weight: torch.Tensor) -> torch.Tensor:
    return weight


def build(
    config: Config, made: TransformerConfig, make: Callable[..., Any] = GPTModel, te: bool | None = None
) -> list[torch.nn.Module]:
    """Return this rank's chunks of the model with fresh weights: one, or one a virtual pipeline stage.

    make: GPTModel, or what takes its arguments and is one. te: layers are Transformer Engine's.
    """
    stages = config.parallel.virtual_pipeline
    return [_chunk(config, made, stage if stages > 1 else None, make, te) for stage in range(stages)]


def _chunk(
    config: Config, made: TransformerConfig, stage: int | None, make: Callable[..., Any], te: bool | None
) -> torch.nn.Module:
    model = config.model
    assert model is not None
    where = {"ignore_virtual": stage is None, "vp_stage": stage}
    chunk = make(
        made, specs.block(made, stage, te), padded_vocabulary(model), model.positions,
        pre_process=parallel_state.is_pipeline_first_stage(**where),
        post_process=parallel_state.is_pipeline_last_stage(**where),
        share_embeddings_and_output_weights=model.tied_embeddings,
        position_embedding_type="rope" if model.position_embedding == "rope" else "learned_absolute",
        rotary_base=model.rope_theta, vp_stage=stage,
    )  # fmt: skip
    if model.rope_scaling is not None:
        scaling = model.rope_scaling
        rotary = chunk.rotary_pos_emb
        rotary.inv_freq = rotary._apply_scaling(
            rotary.inv_freq, scaling.factor, scaling.low_freq_factor, scaling.high_freq_factor,
            scaling.original_positions,
        )  # fmt: skip
    if chunk.post_process and isinstance(chunk.output_layer, ColumnParallelLinear):
        chunk.output_layer.register_forward_hook(_never_predict_padding(model))
    chunk.cuda(torch.cuda.current_device())
    initialize(chunk, config)
    return Float16Module(made, chunk) if made.bf16 else chunk


def _never_predict_padding(model: Model) -> Any:
    """Give the padded rows of the vocabulary a logit of -inf: no probability, no gradient, the same loss as without."""

    def hook(layer: Any, _: Any, output: tuple[torch.Tensor, Any]) -> tuple[torch.Tensor, Any]:
        logits, bias = output
        first = parallel_state.get_tensor_model_parallel_rank() * logits.shape[-1]
        real = max(0, model.vocab_size - first)
        if real < logits.shape[-1]:
            # past autograd, which would copy the gradients for it: with no probability theirs are zero anyway
            logits.data[..., real:] = float("-inf")
        return logits, bias

    return hook


@torch.no_grad()
def initialize(chunk: torch.nn.Module, config: Config) -> None:
    """Fill in first weights that depend on the seed and a tensor's global name alone, not on parallel sizes.

    Normal with `init_std`, residual writers divided by sqrt(2 x layers) (GPT-2, section 2.3), norms 1, biases 0.
    Each rank draws the whole of every tensor it holds a part of, on the CPU: 100 M numbers a second.
    """
    model = config.model
    assert model is not None
    for tensor in sharded(places(chunk)):
        if tensor.data is None or not tensor.data.is_floating_point():
            continue
        last = tensor.key.rsplit(".", 2)
        if tensor.key.endswith(("norm.weight", "layer_norm_weight")):
            tensor.data.fill_(1.0)
        elif tensor.key.endswith("bias"):
            tensor.data.zero_()
        else:
            std = model.init_std
            if ".".join(last[-2:]) in RESIDUAL:
                std /= (2 * model.layers) ** 0.5
            tensor.data.copy_(_drawn(tensor, config.training.seed, std))


def _drawn(tensor: ShardedTensor, seed: int, std: float) -> torch.Tensor:
    """Return this rank's part of a tensor drawn whole; axes that stack layers or experts are drawn one by one."""
    stacked = tensor.prepend_axis_num
    name = f"{seed} {tensor.key} {tensor.global_offset[:stacked]}"
    generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:7]))
    whole = torch.empty(tensor.global_shape[stacked:]).normal_(0.0, std, generator=generator)
    for axis, (offset, length) in enumerate(zip(tensor.global_offset[stacked:], tensor.local_shape)):
        whole = whole.narrow(axis, offset, length)
    return whole


def sharded(state: Any) -> Iterator[ShardedTensor]:
    """Yield every tensor of a sharded state with its place in the global one; their data are views of parameters."""
    if isinstance(state, ShardedTensor):
        yield state
    elif isinstance(state, ShardedTensorFactory):
        yield from sharded(state.build())
    elif isinstance(state, dict | list):
        for value in state.values() if isinstance(state, dict) else state:
            yield from sharded(value)
