"""The configuration of an alignment run: frozen dataclasses, from YAML and `--set section.field=value`.

A field's comment is its documentation. `method` names the one method of the run; its own settings are the section of
the same name, and a section of another method is refused. Optimizer, parallel sizes, checkpoints, watching and guard
are those of `pretrain.config`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from align.errors import AlignSettingsError
from align.ranges import ABOVE, BELOW_ONE, ranges
from align.sections import (
    METHODS,
    Constitutional,
    Distillation,
    Dpo,
    Grpo,
    Kto,
    Ppo,
    Reinforce,
    RejectionSampling,
    RewardModel,
    Sft,
    Spin,
    SteerLm,
)
from millrace.config import did_you_mean
from pretrain import config as pretraining
from pretrain.config import Checkpoint, Parallel, Watch


@dataclass(frozen=True)
class Peft:
    """Which few weights are trained, beside frozen ones."""

    kind: Literal["lora", "qlora", "ia3", "p_tuning", "adapter"] = "lora"
    rank: int = 16  # of lora and qlora (Hu et al. 2021)
    alpha: float = 32.0  # what they add is scaled by alpha / rank
    dropout: float = 0.0
    targets: tuple[str, ...] = ()  # layers by the end of their Hugging Face names; (): all linear ones but the output
    tokens: int = 20  # virtual tokens of p_tuning (Liu et al. 2021)
    width: int = 64  # of the bottleneck of adapter (Houlsby et al. 2019)

    def __post_init__(self) -> None:
        ranges("model.peft", self, rank=1, alpha=ABOVE, dropout=(0, BELOW_ONE), tokens=1, width=1)


@dataclass(frozen=True)
class Model:
    """The model that is aligned, and on what it runs."""

    start_from: str = ""  # Hugging Face folder, or a training run, whose hf/ it is
    backend: Literal["auto", "hf", "megatron"] = "auto"
    precision: Literal["fp32", "bf16"] = "fp32"
    recompute: bool = False  # activations in the backward pass
    max_length: int = 1024  # tokens of a sequence
    tokenizer: str = ""  # folder; "": start_from's
    template: str = ""  # chatml, llama3, plain, ... or a Jinja file; "": the tokenizer's own
    peft: Peft | None = None  # None: all weights are trained

    def __post_init__(self) -> None:
        ranges("model", self, max_length=2)


@dataclass(frozen=True)
class Data:
    """What is learnt from."""

    path: Any = ()  # JSON, JSONL (.gz) or Parquet files, globs; one or a list
    format: Literal["auto", "alpaca", "sharegpt", "messages", "preference", "kto", "helpsteer", "prompts"] = "auto"
    train_on: Literal["assistant", "last", "all"] = "assistant"  # which turns' tokens are learnt
    too_long: Literal["refuse", "drop", "truncate"] = "drop"  # truncate: the prompt loses its oldest tokens
    validation: Any = ()  # as path; with none, validation_share of path by the hash of the id
    validation_share: float = 0.0
    limit: int = 0  # records that are read; 0: all
    packing: bool = True  # several sequences a row, each seeing only itself; False: one a row, padded
    seed: int = 0

    def __post_init__(self) -> None:
        ranges("data", self, validation_share=(0, BELOW_ONE), limit=0)


@dataclass(frozen=True)
class Training:
    """How long, and how much at once."""

    steps: int | None = None  # optimizer steps; None: by epochs
    epochs: float = 1.0  # over the data
    global_batch: int = 32  # examples an optimizer step, over all ranks: sequences, pairs, or prompts' groups
    micro_tokens: int = 4096  # tokens a forward pass, at most; one example may be more
    seed: int = 1234

    def __post_init__(self) -> None:
        ranges("training", self, steps=1, epochs=ABOVE, global_batch=1, micro_tokens=2)


@dataclass(frozen=True)
class Rollouts:
    """How completions are made."""

    engine: Literal["auto", "transformers", "megatron", "http"] = "auto"
    url: str = ""  # of an OpenAI-compatible server (vLLM, TensorRT-LLM), for http
    max_tokens: int = 256  # of a completion
    temperature: float = 1.0
    top_p: float = 1.0  # of methods that weigh by probability ratios only 1 is taken
    top_k: int = 0  # as top_p: only 0
    chunk: int = 8  # completions that a worker takes from the queue at a time
    max_ratio_error: float = 1.05  # mean of exp(|trainer - generator| log-probability) at which the run stops
    asynchronous: bool = False  # generate for the next step while this one trains: needs placement.generate
    truncation: float = 2.0  # of importance weights of stale completions (TIS)

    def __post_init__(self) -> None:
        ranges("rollouts", self, max_tokens=1, temperature=0, chunk=1, max_ratio_error=1, truncation=ABOVE)


@dataclass(frozen=True)
class Placement:
    """Which ranks hold which models, as ranges such as 0-3; "": all, sharing devices in turn."""

    actor: str = ""
    critic: str = ""
    reference: str = ""
    reward: str = ""
    generate: str = ""
    offload: bool = True  # models that wait lie in host memory, where ranks have GPUs


@dataclass(frozen=True)
class Optimizer(pretraining.Optimizer):
    """AdamW and its schedule, with the small steps of alignment."""

    lr: float = 1e-6
    min_lr: float = 0.0
    weight_decay: float = 0.0
    beta2: float = 0.999


@dataclass(frozen=True)
class Guard(pretraining.Guard):
    """What a bad batch, and a rank that hangs, may cost; completing a batch of prompts is one step's work."""

    hang_seconds: float = 3600.0


@dataclass(frozen=True)
class Config:
    """One alignment run."""

    method: str
    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    training: Training = field(default_factory=Training)
    optimizer: Optimizer = field(default_factory=Optimizer)
    parallel: Parallel = field(default_factory=Parallel)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    watch: Watch = field(default_factory=Watch)
    guard: Guard = field(default_factory=Guard)
    rollouts: Rollouts = field(default_factory=Rollouts)
    placement: Placement = field(default_factory=Placement)
    rewards: tuple[Any, ...] = ()  # each {name: settings}: math, format, length, code, judge, model, pattern, python
    sft: Sft | None = None
    reward_model: RewardModel | None = None
    dpo: Dpo | None = None
    kto: Kto | None = None
    ppo: Ppo | None = None
    grpo: Grpo | None = None
    reinforce: Reinforce | None = None
    steerlm: SteerLm | None = None
    spin: Spin | None = None
    rejection_sampling: RejectionSampling | None = None
    constitutional: Constitutional | None = None
    distillation: Distillation | None = None

    def __post_init__(self) -> None:
        """Give the method its section. Raises AlignSettingsError for another method's, or an unknown method."""
        if self.method not in METHODS:
            near = did_you_mean(self.method, METHODS)
            raise AlignSettingsError(f"no method is called {self.method}.{near} Methods: {', '.join(METHODS)}")
        for name in METHODS:
            if name != self.method and getattr(self, name) is not None:
                raise AlignSettingsError(f"section {name} is another method's: this run's method is {self.method}")
        if getattr(self, self.method) is None:
            object.__setattr__(self, self.method, METHODS[self.method]())

    @property
    def settings(self) -> Any:
        """The method's own section."""
        return getattr(self, self.method)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for YAML and JSON; `millrace.config.build` makes the same Config of them."""
        return dataclasses.asdict(self)
