"""How much memory a rank needs, part by part: exact for states, an upper estimate for activations.

Activations follow Korthikanti et al. 2022 (arXiv:2205.05198, sections 4 and 5), written out for gated feed-forward
layers, grouped queries, experts, any precision, and attention that keeps no scores (Dao et al. 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

from pretrain.config import Config, Model
from pretrain.sizes import padded_vocabulary, rank_parameters

GRADIENT = 4  # bytes: Megatron's buffers are float32 in every precision here (grad_reduce_in_fp32)
WEIGHT = {"fp32": 4, "bf16": 2, "fp8": 4}  # bytes; fp8: bf16, and one byte each for a copy and its transpose
STATE = {"fp32": 8, "bf16": 12, "fp8": 12}  # bytes: Adam's two moments; half precision adds a float32 master copy


@dataclass(frozen=True)
class Sizes:
    """Parallel sizes with nothing open. ranks = tensor x pipeline x context x data."""

    ranks: int
    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    expert: int = 1
    virtual_pipeline: int = 1
    sequence: bool = False
    distributed_optimizer: bool = False

    @property
    def model_parallel(self) -> int:
        """Ranks that hold one copy of the model and work on one micro-batch."""
        return self.tensor * self.pipeline * self.context

    @property
    def data(self) -> int:
        return self.ranks // self.model_parallel

    def micro_batches(self, config: Config) -> int:
        """Return the forward passes of a data-parallel rank in a step."""
        return config.training.global_batch // (config.training.micro_batch * self.data)


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank, at the peak of a step."""

    weights: int
    gradients: int
    optimizer: int
    activations: int  # kept for the backward pass, of all micro-batches in flight
    working: int  # of one layer while its gradients are computed
    logits: int  # and their gradients

    @property
    def total(self) -> int:
        return self.states + self.activations + max(self.working, self.logits)  # never both at once

    @property
    def states(self) -> int:
        return self.weights + self.gradients + self.optimizer


def memory(config: Config, sizes: Sizes) -> Memory:
    """Return the memory of the rank that needs most: of the first or the last stage of the pipeline."""
    return max((of_stage(config, sizes, stage) for stage in {0, sizes.pipeline - 1}), key=lambda each: each.total)


def of_stage(config: Config, sizes: Sizes, stage: int) -> Memory:
    """Return the memory of a rank of a pipeline stage, with experts that are given equal numbers of tokens.

    The distributed optimizer divides its states by the ranks that hold the same parameters (Rajbhandari et al. 2020,
    stage 1): dense ones tensor x pipeline apart, experts expert x pipeline apart. Not counted: CUDA's context,
    communication buffers, fragmentation, batches on their way.
    """
    model, precision = config.model, config.training.precision
    assert model is not None
    held = rank_parameters(model, sizes.tensor, sizes.pipeline, sizes.expert, stage)
    dense_ranks = sizes.data * sizes.context if sizes.distributed_optimizer else 1
    expert_ranks = sizes.ranks // (sizes.pipeline * sizes.expert) if sizes.distributed_optimizer else 1
    shard = -(-held.dense // dense_ranks) + -(-held.experts // expert_ranks)
    layer, kept = layer_activations(config, sizes), kept_of_layer(config, sizes)
    last = stage == sizes.pipeline - 1
    return Memory(
        weights=WEIGHT[precision] * held.total,
        gradients=GRADIENT * held.total,
        optimizer=STATE[precision] * shard,
        activations=kept * layers_in_flight(config, sizes, stage),
        working=layer * (2 if config.training.recompute == "full" else 1),  # gradients are as large; and recomputed
        logits=_logits(config, sizes) if last else 0,
    )


def layers_in_flight(config: Config, sizes: Sizes, stage: int) -> int:
    """Return for how many layers (of any micro-batch) a stage keeps activations at its peak.

    1F1B: as many micro-batches as stages from here to the end. Interleaved: as many model chunks as Megatron runs
    forward before its first backward, and one (Narayanan et al. 2021, section 2.2; schedules.py of megatron-core).
    """
    model = config.model
    assert model is not None
    after, chunks, batches = sizes.pipeline - 1 - stage, sizes.virtual_pipeline, sizes.micro_batches(config)
    ahead = after if chunks == 1 else 2 * after + (chunks - 1) * sizes.pipeline
    return min(ahead + 1, batches * chunks) * (model.layers // (sizes.pipeline * chunks))


def kept_of_layer(config: Config, sizes: Sizes) -> int:
    """Return the bytes a layer keeps of a micro-batch until its backward pass, under the recomputation chosen.

    full: its input alone. selective recomputes attention's scores, which only context parallelism has here.
    """
    how = config.training.recompute
    if how == "full":
        return _element(config) * _model(config).hidden_size * _part(config, sizes)
    return layer_activations(config, sizes) - (_scores(config, sizes) if how == "selective" else 0)


def layer_activations(config: Config, sizes: Sizes) -> int:
    """Return the bytes a layer writes down of a micro-batch for its backward pass."""
    model, tokens, part = _model(config), _tokens(config, sizes), _part(config, sizes)
    h, heads, keys = model.hidden_size, model.heads * model.head_size, model.key_heads * model.head_size
    # of whole hidden states (1 / tensor with sequence parallelism): input and output of two norms, and between
    # them a float32 copy and a normed one, where norms are not fused
    states = part * 2 * (2 * h * _element(config) + (4 + _element(config)) * h)
    if model.dropout:
        states += part * 2 * h  # masks, a byte each
    # of heads: queries, keys, values, before and after rotation; the output, and its log-sum-exp in float32
    rotated = 2 if model.position_embedding == "rope" or model.qk_norm else 1
    attention = _element(config) * (rotated * (heads + keys) + keys + heads) + 4 * model.heads
    if model.qk_norm:
        attention += (4 + _element(config)) * (heads + keys)
    attention = tokens * attention // sizes.tensor
    return states + attention + _feed_forward(config, sizes) + _scores(config, sizes)


def _feed_forward(config: Config, sizes: Sizes) -> int:
    model = _model(config)
    inner = (4 if model.activation == "swiglu" else 2) * model.ffn_size  # gate, up, silu(gate), product; or in and out
    if not model.experts:
        return _tokens(config, sizes) * _element(config) * inner // sizes.tensor
    # a token's copies for its experts, on the way in and out, and logits and probabilities of the router
    routed = model.experts_per_token * (inner + 2 * model.hidden_size) * _element(config) + 12 * model.experts
    return _part(config, sizes) * routed


def _scores(config: Config, sizes: Sizes) -> int:
    """Return the bytes of attention's probabilities: none, but under context parallelism.

    There a mask is given, which takes torch's fused kernels away where queries are grouped: probabilities in float32
    and in the precision of training, for a row that is one document. Ranks hold two chunks of 2 x context (zigzag).
    """
    if sizes.context == 1:
        return 0
    model = _model(config)
    half = _seq_length(config) // (2 * sizes.context)
    cells = config.training.micro_batch * half * half * (2 * sizes.context + 1)
    return model.heads // sizes.tensor * cells * (4 + _element(config))


def _logits(config: Config, sizes: Sizes) -> int:
    """Return the bytes of the logits: as computed, in float32, and their gradient (float32 shares where it can)."""
    return _tokens(config, sizes) * padded_vocabulary(_model(config)) // sizes.tensor * (_element(config) + 8)


def _tokens(config: Config, sizes: Sizes) -> int:
    """Return the tokens of a micro-batch on a rank."""
    return config.training.micro_batch * _seq_length(config) // sizes.context


def _part(config: Config, sizes: Sizes) -> int:
    """Return the tokens whose norms and dropout a rank computes: its share of them under sequence parallelism."""
    return _tokens(config, sizes) // (sizes.tensor if sizes.sequence else 1)


def _element(config: Config) -> int:
    return 4 if config.training.precision == "fp32" else 2


def _model(config: Config) -> Model:
    assert config.model is not None
    return config.model


def _seq_length(config: Config) -> int:
    assert config.data.seq_length is not None
    return config.data.seq_length
