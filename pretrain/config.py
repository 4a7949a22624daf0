"""The configuration of a training run: frozen dataclasses, from YAML and `--set section.field=value`.

A field's comment is its documentation. What a field leaves None is filled in by `pretrain.plan` (parallel
sizes), by the shards (vocabulary, sequence length) or by the Hugging Face folder the run starts from (model);
a finished configuration has nothing open and is kept in the run folder.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from pretrain.errors import SettingsError


@dataclass(frozen=True)
class RopeScaling:
    """Llama 3.1's stretching of rotary frequencies (Hugging Face's rope_type "llama3")."""

    factor: float = 8.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_positions: int = 8192


@dataclass(frozen=True)
class Model:
    """The shape of a decoder-only transformer, dense or mixture of experts."""

    layers: int
    hidden_size: int
    heads: int
    ffn_size: int  # of one expert, where there are experts
    kv_heads: int | None = None  # None: as many as heads; fewer: grouped queries (Ainslie et al. 2023)
    head_dim: int | None = None  # None: hidden_size / heads
    vocab_size: int | None = None  # None: the vocabulary of the shards
    positions: int | None = None  # longest sequence; None: data.seq_length
    norm: Literal["rms", "layer"] = "rms"
    norm_eps: float = 1e-5
    activation: Literal["swiglu", "gelu", "gelu_tanh"] = "swiglu"
    position_embedding: Literal["rope", "learned"] = "rope"
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    tied_embeddings: bool = False
    qkv_bias: bool = False
    bias: bool = False  # of the other linear layers
    qk_norm: bool = False  # RMSNorm of each head's queries and keys (Qwen 3)
    experts: int | None = None  # None: dense
    experts_per_token: int = 2
    aux_loss: float = 0.01  # weight of the load-balancing loss (Shazeer et al. 2017; Switch, section 2.2)
    dropout: float = 0.0  # of hidden states and attention
    init_std: float = 0.02  # layers that write to the residual stream: divided by sqrt(2 x layers)
    vocab_multiple: int = 128  # rows of the embedding are padded to it; padded rows are never predicted

    def __post_init__(self) -> None:
        for name in ("layers", "hidden_size", "heads", "ffn_size", "kv_heads", "head_dim", "vocab_size", "positions",
                     "experts", "experts_per_token", "vocab_multiple"):  # fmt: skip
            _at_least("model", self, name, 1)
        if not 0 <= self.dropout < 1:
            raise SettingsError(f"model.dropout is {self.dropout}; it must be from 0 up to 1")
        if self.head_dim is None and self.hidden_size % self.heads:
            raise SettingsError(
                f"model.hidden_size {self.hidden_size} is no multiple of model.heads {self.heads}; set model.head_dim"
            )
        if self.heads % self.key_heads:
            raise SettingsError(f"model.heads {self.heads} is not a multiple of model.kv_heads {self.key_heads}")
        if self.experts is not None and not self.experts_per_token <= self.experts:
            raise SettingsError(
                f"model.experts_per_token {self.experts_per_token} is more than model.experts {self.experts}"
            )

    @property
    def key_heads(self) -> int:
        return self.kv_heads or self.heads

    @property
    def head_size(self) -> int:
        return self.head_dim or self.hidden_size // self.heads


@dataclass(frozen=True)
class Data:
    """Which shards are read, in which proportion, and what is held out."""

    shards: Any = ()  # run or tokens/ folders: one, a list (by their tokens), or {folder: weight by tokens}
    seq_length: int | None = None  # None: the rows' own; else it must divide it, or be a multiple of it
    validation_share: float = 0.01  # of documents, by the hash of their id
    validation_rows: int = 0  # read for a validation loss, at most; 0: all
    clusters: str = ""  # Parquet with columns id, cluster: documents of a cluster stay on one side
    layout: Literal["packed", "gpt_dataset"] = "packed"  # packed rows, or Megatron's GPTDataset over the documents
    seed: int = 0
    prefetch: int = 4  # batches read ahead

    def __post_init__(self) -> None:
        if not 0 <= self.validation_share < 1:
            raise SettingsError(f"data.validation_share is {self.validation_share}; it must be from 0 up to 1")
        for name, least in (("seq_length", 1), ("validation_rows", 0), ("prefetch", 0)):
            _at_least("data", self, name, least)


@dataclass(frozen=True)
class Training:
    """How long, how much at once, in which precision."""

    steps: int = 1000
    global_batch: int = 32  # rows a step, over all ranks
    micro_batch: int = 1  # rows a forward pass
    precision: Literal["fp32", "bf16", "fp8"] = "fp32"
    recompute: Literal["none", "selective", "full"] = "none"  # of activations in the backward pass
    seed: int = 1234
    start_from: str = ""  # Hugging Face folder: its model and weights; with no model section
    export: bool = True  # hand on RUN/hf when the run ends

    def __post_init__(self) -> None:
        for name in ("steps", "global_batch", "micro_batch"):
            _at_least("training", self, name, 1)


@dataclass(frozen=True)
class Optimizer:
    """AdamW (Loshchilov and Hutter 2019) and its schedule."""

    lr: float = 3e-4
    min_lr: float = 3e-5
    schedule: Literal["cosine", "wsd", "linear", "constant"] = "cosine"
    warmup_steps: int = 0
    decay_steps: int | None = None  # until min_lr; None: training.steps. wsd: length of the last, falling part (10 %)
    weight_decay: float = 0.1  # not of biases and norms
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    clip: float = 1.0  # of the gradient's L2 norm over all parameters; 0: never

    def __post_init__(self) -> None:
        if not 0 <= self.min_lr <= self.lr:
            raise SettingsError(f"optimizer.min_lr {self.min_lr} must be from 0 to optimizer.lr {self.lr}")
        for name, least in (("warmup_steps", 0), ("decay_steps", 1), ("weight_decay", 0), ("clip", 0)):
            _at_least("optimizer", self, name, least)
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(f"optimizer.{name} is {getattr(self, name)}; it must be from 0 up to 1")

    def decay(self, steps: int) -> int:
        """Return how many steps the rate falls for in a run of `steps`: by default all, of wsd the last tenth."""
        return self.decay_steps or (max(1, steps // 10) if self.schedule == "wsd" else steps)


@dataclass(frozen=True)
class Parallel:
    """How the model is spread over ranks; None: chosen by `pretrain.plan`, which prints why."""

    ranks: int | None = None  # None: one a GPU; on CPU one
    tensor: int | None = None
    pipeline: int | None = None
    virtual_pipeline: int = 1  # model chunks a pipeline rank (interleaved 1F1B)
    context: int | None = None
    expert: int | None = None
    sequence: bool | None = None  # sequence parallelism of norms and dropout; None: with tensor > 1
    distributed_optimizer: bool | None = None  # None: with more than one data-parallel rank
    overlap: bool = True  # gradients and parameters travel while others are computed

    def __post_init__(self) -> None:
        for name in ("ranks", "tensor", "pipeline", "virtual_pipeline", "context", "expert"):
            _at_least("parallel", self, name, 1)


@dataclass(frozen=True)
class Checkpoint:
    """When the state is saved, and which saves are kept."""

    every_steps: int = 1000  # 0: only at the end and on SIGTERM
    keep_last: int = 2
    keep_every: int = 0  # steps; these are kept for ever. 0: none
    asynchronous: bool = True
    other_data: bool = False  # resume with other shards, weights or order than the checkpoint's; rows count on

    def __post_init__(self) -> None:
        for name, least in (("every_steps", 0), ("keep_last", 1), ("keep_every", 0)):
            _at_least("checkpoint", self, name, least)


@dataclass(frozen=True)
class Watch:
    """What is measured and where it is written."""

    log_every: int = 10  # steps between lines on the console; every step is in log.jsonl
    validate_every: int = 100  # steps; 0: only at the end
    tensorboard: bool = True  # where the tensorboard package is installed
    wandb: str = ""  # project; empty: not used
    peak_tflops: float | None = None  # of one device in this precision, for MFU; None: by its name, on CPU measured

    def __post_init__(self) -> None:
        _at_least("watch", self, "log_every", 1)
        _at_least("watch", self, "validate_every", 0)
        _at_least("watch", self, "peak_tflops", 0)


@dataclass(frozen=True)
class Guard:
    """What a bad batch, and a rank that hangs, may cost."""

    spike: float = 3.0  # a loss this many times the running mean is a bad batch, as NaN is; 0: only NaN
    spike_window: int = 64  # steps of the running mean; no spike is seen before it is full
    max_bad_steps: int = 10  # skipped in all; one more stops the run
    hang_seconds: float = 600.0  # without a step: the rank behind the others is named and the run ends
    straggler: float = 2.0  # a rank this many times slower than the median is named; 0: none
    max_restarts: int = 0  # of all ranks after one was lost; same as --max-restarts

    def __post_init__(self) -> None:
        for name in ("spike", "straggler", "max_bad_steps", "max_restarts"):
            _at_least("guard", self, name, 0)
        for name in ("spike_window", "hang_seconds"):
            _at_least("guard", self, name, 1)


@dataclass(frozen=True)
class Config:
    """One training run."""

    model: Model | None = None  # None: the model of training.start_from
    data: Data = field(default_factory=Data)
    training: Training = field(default_factory=Training)
    optimizer: Optimizer = field(default_factory=Optimizer)
    parallel: Parallel = field(default_factory=Parallel)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    watch: Watch = field(default_factory=Watch)
    guard: Guard = field(default_factory=Guard)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for YAML and JSON; `millrace.config.build` makes the same Config of them."""
        return dataclasses.asdict(self)


def _at_least(section: str, made: Any, name: str, least: float) -> None:
    value = getattr(made, name)
    if value is not None and value < least:
        raise SettingsError(f"{section}.{name} is {value}; it must be at least {least}")
