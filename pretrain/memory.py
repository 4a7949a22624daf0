"""How much memory a rank needs, part by part: exact for states, an upper estimate for activations.

Activations follow Korthikanti et al. 2022 (arXiv:2205.05198, sections 4 and 5), written out for gated feed-forward
layers, grouped queries, experts, any precision, and attention that keeps no scores (Dao et al. 2022).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from pretrain.config import Config, Model, Parallel
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

    @classmethod
    def of(cls, parallel: Parallel, ranks: int) -> Sizes:
        """Return a finished configuration's sizes on another number of ranks: data parallelism takes what is left."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: getattr(parallel, name) for name in names} | {"ranks": ranks})

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
    save: int = 0  # what a checkpoint is copied to, kept between saves; a GPU's lies in the memory of its host

    @property
    def total(self) -> int:
        return self.states + self.activations + max(self.working, self.logits)  # never both at once

    @property
    def states(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.save


def memory(config: Config, sizes: Sizes, gpu: bool) -> Memory:
    """Return the memory of the rank that needs most: of the first or the last stage of the pipeline.

    gpu: norms and activations run in fused kernels, which keep less. Checked on CPU alone, against what torch keeps.
    """
    return max((of_stage(config, sizes, stage, gpu) for stage in {0, sizes.pipeline - 1}), key=lambda each: each.total)


def of_stage(config: Config, sizes: Sizes, stage: int, gpu: bool) -> Memory:
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
    # a save is divided by the ranks that hold the same, whichever optimizer; without a pipeline's copy of the embedding
    dense = held.dense - (held.output if model.tied_embeddings else 0)
    experts = held.experts * sizes.pipeline * sizes.expert
    saved = -(-dense // (sizes.data * sizes.context)) + -(-experts // sizes.ranks)
    layer, kept = layer_activations(config, sizes, gpu), kept_of_layer(config, sizes, gpu)
    last = stage == sizes.pipeline - 1
    return Memory(
        weights=WEIGHT[precision] * held.total,
        gradients=GRADIENT * held.total,
        optimizer=STATE[precision] * shard,
        activations=kept * layers_in_flight(config, sizes, stage),
        working=layer * (2 if config.training.recompute == "full" else 1),  # gradients are as large; and recomputed
        logits=_logits(config, sizes, gpu) if last else 0,
        save=0 if gpu else saved * (WEIGHT[precision] + STATE[precision]),
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


def kept_of_layer(config: Config, sizes: Sizes, gpu: bool) -> int:
    """Return the bytes a layer keeps of a micro-batch until its backward pass, under the recomputation chosen.

    full: its input alone. selective: not what attention itself writes down, its output and scores.
    """
    how, model = config.training.recompute, _model(config)
    if how == "full":
        return _element(config) * model.hidden_size * _part(config, sizes)
    kept = layer_activations(config, sizes, gpu)
    if how == "selective":
        kept -= _scores(config, sizes) + _tokens(config, sizes) * _own_output(config) // sizes.tensor
    return kept


def layer_activations(config: Config, sizes: Sizes, gpu: bool) -> int:
    """Return the bytes a layer writes down of a micro-batch for its backward pass."""
    return (
        _part(config, sizes) * _states(config, gpu)
        + _tokens(config, sizes) * (_attention(config) + _own_output(config)) // sizes.tensor
        + _scores(config, sizes)
        + _feed_forward(config, sizes, gpu)
    )


def _states(config: Config, gpu: bool) -> int:
    """Return bytes a token of whole hidden states: two norms, and dropout's masks."""
    masks = 2 * _element(config) * _model(config).hidden_size if _model(config).dropout else 0
    return 2 * _norm(config, gpu) + masks


def _norm(config: Config, gpu: bool) -> int:
    """Return bytes a token of a norm: input and output; RMSNorm in parts writes the former and its norm in float32."""
    model, fused = _model(config), 2 * _element(config)
    in_parts = model.norm == "rms" and not gpu
    return model.hidden_size * (8 + _element(config) if in_parts else fused) + 8


def _attention(config: Config) -> int:
    """Return bytes a token of all heads: queries, keys and values, before and after rotation, and what is projected."""
    model, element = _model(config), _element(config)
    heads, keys = model.heads * model.head_size, model.key_heads * model.head_size
    numbers = heads + 2 * keys + heads
    if model.position_embedding == "rope":
        numbers += heads + keys + 4 * model.head_size  # and cosines and sines
    if model.dropout:
        numbers += heads + keys  # scaled
    return numbers * element + (8 * (heads + keys + model.heads) if model.qk_norm else 0)


def _own_output(config: Config) -> int:
    """Return bytes a token of what attention writes down: its output, and a float32 sum of scores for each head."""
    model = _model(config)
    return model.heads * model.head_size * _element(config) + 4 * model.heads


def _feed_forward(config: Config, sizes: Sizes, gpu: bool) -> int:
    """Return the bytes of a feed-forward layer, or of the experts' share of tokens, of which each gets equally many."""
    model, element = _model(config), _element(config)
    width = 2  # in and out of the activation
    if model.activation == "swiglu":
        width = 3 if gpu else 5  # gate and up, product; in parts also silu(gate) and a copy of up
    if not model.experts:
        return _tokens(config, sizes) * element * width * model.ffn_size // sizes.tensor
    width += 0 if gpu else 1  # weighted
    copies = element * (width * model.ffn_size + 2 * model.hidden_size) + 40  # of a token, for each of its experts
    return _part(config, sizes) * (model.experts_per_token * copies + 16 * model.experts)


def _scores(config: Config, sizes: Sizes) -> int:
    """Return the bytes of attention's scores, for a row that is one document; where kernels are fused there are none.

    They are not with dropout on CPU: probabilities, dropped ones, and a mask. And not where a mask is given and
    queries are grouped, as under context parallelism: probabilities, in float32 too. A rank there has two of
    2 x context chunks (zigzag), whose queries see chunk x (2 x context + 1) keys between them.
    """
    model, rows, length = _model(config), config.training.micro_batch, _seq_length(config)
    cells, each = length**2, 0
    if sizes.context > 1:
        chunk = length // (2 * sizes.context)
        cells = chunk * chunk * (2 * sizes.context + 1)
        each = 4 + _element(config) if model.key_heads != model.heads else 0
    if model.dropout:
        each += 3 * _element(config)
    return model.heads // sizes.tensor * rows * cells * each


def _logits(config: Config, sizes: Sizes, gpu: bool) -> int:
    """Return the bytes of logits, as computed and in float32, of their gradient, and of the last norm."""
    logits = padded_vocabulary(_model(config)) // sizes.tensor * (_element(config) + 8)
    return _tokens(config, sizes) * logits + _part(config, sizes) * _norm(config, gpu)


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
