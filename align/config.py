"""The configuration of an alignment run: frozen dataclasses, from YAML and `--set section.field=value`.

A field's comment is its documentation. `method` names the one method of the run; its own settings are the section of
the same name, and a section of another method is refused. Optimizer, parallel sizes, checkpoints, watching and guard
are those of `pretrain.config`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from align.errors import AlignSettingsError
from millrace.config import did_you_mean
from pretrain import config as pretraining
from pretrain.config import Checkpoint, Parallel, Watch

DpoLoss = Literal["dpo", "cdpo", "robust", "ipo", "hinge", "rpo_sq", "rpo_fwd_kl", "rpo_bwd_kl", "simpo", "orpo"]


ABOVE = (math.nextafter(0, 1), math.inf)  # more than 0
BELOW_ONE = math.nextafter(1, 0)


def _ranges(section: str, made: Any, **ranges: float | tuple[float, float]) -> None:
    """Raise AlignSettingsError where a field is outside its range: (least, most), or the least alone; None is open."""
    for name, given in ranges.items():
        least, most = given if isinstance(given, tuple) else (given, math.inf)
        value = getattr(made, name)
        if value is None or least <= value <= most:
            continue
        low = "more than 0" if least == ABOVE[0] else f"at least {least:g}"
        high = "" if most == math.inf else " and below 1" if most == BELOW_ONE else f" and at most {most:g}"
        raise AlignSettingsError(f"{section}.{name} is {value}; it must be {low}{high}")


def _dual(section: str, bound: float) -> None:
    if bound and bound <= 1:
        raise AlignSettingsError(
            f"{section}.dual_clip is {bound:g}; it must be 0, none, or more than 1 (Ye et al. 2020)"
        )


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
        _ranges("model.peft", self, rank=1, alpha=ABOVE, dropout=(0, BELOW_ONE), tokens=1, width=1)


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
        _ranges("model", self, max_length=2)


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
        _ranges("data", self, validation_share=(0, BELOW_ONE), limit=0)


@dataclass(frozen=True)
class Training:
    """How long, and how much at once."""

    steps: int | None = None  # optimizer steps; None: by epochs
    epochs: float = 1.0  # over the data
    global_batch: int = 32  # examples an optimizer step, over all ranks: sequences, pairs, or prompts' groups
    micro_tokens: int = 4096  # tokens a forward pass, at most; one example may be more
    seed: int = 1234

    def __post_init__(self) -> None:
        _ranges("training", self, steps=1, epochs=ABOVE, global_batch=1, micro_tokens=2)


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
        _ranges("rollouts", self, max_tokens=1, temperature=0, chunk=1, max_ratio_error=1, truncation=ABOVE)


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
class Sft:
    """Supervised fine-tuning: cross entropy of the learnt tokens."""


@dataclass(frozen=True)
class RewardModel:
    """A model that scores completions."""

    loss: Literal["bradley_terry", "margin", "scaled", "regression"] = "bradley_terry"
    attributes: tuple[str, ...] = ()  # of regression, in the order of outputs; (): all in the data
    center: float = 0.0  # weight of (chosen + rejected)^2, which keeps scores around 0 (Eisenstein et al. 2023)

    def __post_init__(self) -> None:
        _ranges("reward_model", self, center=0)


@dataclass(frozen=True)
class Dpo:
    """Preferences without a reward model."""

    loss: DpoLoss = "dpo"
    beta: float = 0.1
    label_smoothing: float = 0.0  # share of flipped labels, of cdpo and robust
    average: bool | None = None  # log-probabilities a token; None: of ipo and simpo (orpo always)
    gamma: float = 0.5  # margin of simpo
    reward_scale: float = 1.0  # eta of rpo
    sft_weight: float = 0.0  # of the chosen side's cross entropy, added

    def __post_init__(self) -> None:
        _ranges("dpo", self, beta=ABOVE, label_smoothing=(0, 0.5), reward_scale=ABOVE, sft_weight=0)
        smoothed = self.loss in ("cdpo", "robust")
        if smoothed != (self.label_smoothing > 0):
            raise AlignSettingsError(
                f"dpo.loss {self.loss} with dpo.label_smoothing {self.label_smoothing:g}: cdpo and robust need one "
                "above 0, the other losses have none"
            )
        if self.loss == "robust" and self.label_smoothing == 0.5:
            raise AlignSettingsError("dpo.label_smoothing of robust must be below 0.5: it divides by 1 - 2 x it")


@dataclass(frozen=True)
class Kto:
    """Single labels, good or bad (Ethayarajh et al. 2024)."""

    beta: float = 0.1
    desirable: float = 1.0  # weight
    undesirable: float = 1.0

    def __post_init__(self) -> None:
        _ranges("kto", self, beta=ABOVE, desirable=ABOVE, undesirable=ABOVE)


@dataclass(frozen=True)
class Ppo:
    """Proximal policy optimisation (Schulman et al. 2017), with a critic."""

    reward_model: str = ""  # folder; "": the rewards section alone
    critic: str = ""  # folder it starts from; "": the reward model, else the policy
    critic_lr: float = 9e-6
    critic_warmup: int = 0  # steps that train the critic alone
    group_size: int = 1  # completions a prompt
    epochs: int = 1  # over the rollouts
    minibatches: int = 1  # optimizer steps an epoch
    clip_low: float = 0.2
    clip_high: float = 0.2
    dual_clip: float = 0.0  # bound of -A x ratio for negative A (Ye et al. 2020); 0: none
    value_clip: float = 0.2  # 0: none
    value_weight: float = 0.5
    entropy: float = 0.0  # weight
    kl: float = 0.01  # weight of the penalty in the rewards
    kl_kind: Literal["k1", "k2", "k3", "abs"] = "k1"
    gamma: float = 1.0
    lam: float = 0.95
    whiten: bool = True
    mask_unfinished: bool = False  # completions that hit the limit teach the actor nothing

    def __post_init__(self) -> None:
        _ranges(
            "ppo", self, critic_lr=ABOVE, critic_warmup=0, group_size=1, epochs=1, minibatches=1, clip_low=(0, 1),
            clip_high=0, value_clip=0, value_weight=ABOVE, entropy=0, kl=0, gamma=(0, 1), lam=(0, 1),
        )  # fmt: skip
        _dual("ppo", self.dual_clip)


@dataclass(frozen=True)
class Grpo:
    """Group-relative policy optimisation (Shao et al. 2024) and its family."""

    loss: Literal["grpo", "bnpo", "dapo", "dr_grpo", "gspo", "cispo"] = "dapo"
    group_size: int = 8  # completions a prompt
    epochs: int = 1  # over the rollouts
    minibatches: int = 1  # optimizer steps an epoch
    clip_low: float | None = None  # None: 0.2; of gspo 3e-4 (Zheng et al. 2025, section 5.1)
    clip_high: float | None = None  # None: 0.2, of gspo 4e-4; dapo's paper 0.28; of cispo 1 + it bounds the ratio
    dual_clip: float = 0.0
    baseline: Literal["mean", "leave_one_out"] = "mean"
    scale: Literal["group", "batch", "none"] = "group"  # what advantages are divided by: a standard deviation
    beta: float = 0.0  # weight of the k3 KL to the reference
    dynamic_sampling: bool = False  # prompts whose rewards are all equal are drawn again (DAPO, section 3.2)
    max_draws: int = 10  # batches drawn for one step, at most
    overlong: int = 0  # tokens before max_tokens over which a penalty up to 1 sets in (DAPO, equation 13); 0: none
    mask_unfinished: bool = False

    def __post_init__(self) -> None:
        _ranges(
            "grpo", self, group_size=2, epochs=1, minibatches=1, clip_low=(0, 1), clip_high=0, beta=0, max_draws=1,
            overlong=0,
        )  # fmt: skip
        _dual("grpo", self.dual_clip)

    @property
    def clips(self) -> tuple[float, float]:
        """How far below and above 1 a ratio may go."""
        low, high = (3e-4, 4e-4) if self.loss == "gspo" else (0.2, 0.2)
        return low if self.clip_low is None else self.clip_low, high if self.clip_high is None else self.clip_high


@dataclass(frozen=True)
class Reinforce:
    """REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024)."""

    group_size: int = 4
    baseline: Literal["leave_one_out", "mean", "none"] = "leave_one_out"
    kl: float = 0.01  # weight of the sequence's KL to the reference, taken off the reward
    kl_kind: Literal["k1", "k2", "k3", "abs"] = "k1"

    def __post_init__(self) -> None:
        _ranges("reinforce", self, group_size=2 if self.baseline != "none" else 1, kl=0)


@dataclass(frozen=True)
class SteerLm:
    """Attributes in the prompt (Dong et al. 2023), and SteerLM 2.0, which learns to meet them."""

    version: Literal[1, 2] = 1
    attributes: tuple[str, ...] = ()  # (): all in the data
    group_size: int = 4  # of 2: completions a prompt
    reward_model: str = ""  # of 2: a regression reward model, which measures the attributes
    deviation: float = 1.0  # of 2: of its errors, in units of the ratings

    def __post_init__(self) -> None:
        _ranges("steerlm", self, group_size=2, deviation=ABOVE)


@dataclass(frozen=True)
class Spin:
    """Self-play: the model's own completions against the data's (Chen et al. 2024)."""

    iterations: int = 3
    beta: float = 0.1

    def __post_init__(self) -> None:
        _ranges("spin", self, iterations=1, beta=ABOVE)


@dataclass(frozen=True)
class RejectionSampling:
    """Fine-tuning on the best of several completions."""

    iterations: int = 1
    group_size: int = 4
    keep: int = 1  # of each prompt's
    min_reward: float | None = None  # below it none is kept

    def __post_init__(self) -> None:
        _ranges("rejection_sampling", self, iterations=1, group_size=1, keep=(1, self.group_size))


@dataclass(frozen=True)
class Constitutional:
    """Critique and revision by principles, then preferences from AI feedback (Bai et al. 2022)."""

    constitution: str = ""  # YAML file of principles; "": the built-in one
    revisions: int = 1
    judge_url: str = ""  # of an OpenAI-compatible server that critiques and judges; "": the model itself
    judge_model: str = ""
    stages: tuple[Literal["sft", "dpo"], ...] = ("sft", "dpo")
    beta: float = 0.1  # of dpo

    def __post_init__(self) -> None:
        _ranges("constitutional", self, revisions=0, beta=ABOVE)
        if not self.stages:
            raise AlignSettingsError("constitutional.stages is empty; it must name sft, dpo, or both")


@dataclass(frozen=True)
class Distillation:
    """A student learns a teacher's distribution."""

    teacher: str = ""  # folder
    divergence: Literal["forward", "backward", "jsd"] = "forward"
    mix: float = 0.5  # of jsd: 0 forward, 1 backward (GKD, Agarwal et al. 2024)
    top_k: int = 64  # of the teacher's tokens, renormalised; 0: all
    temperature: float = 1.0
    weight: float = 1.0  # of the divergence
    sft_weight: float = 0.0
    on_policy: float = 0.0  # share of batches the student completes itself

    def __post_init__(self) -> None:
        _ranges(
            "distillation", self, mix=(0, 1), top_k=0, temperature=ABOVE, weight=0, sft_weight=0, on_policy=(0, 1),
        )  # fmt: skip


METHODS: dict[str, type[Any]] = {
    "sft": Sft, "reward_model": RewardModel, "dpo": Dpo, "kto": Kto, "ppo": Ppo, "grpo": Grpo, "reinforce": Reinforce,
    "steerlm": SteerLm, "spin": Spin, "rejection_sampling": RejectionSampling, "constitutional": Constitutional,
    "distillation": Distillation,
}  # fmt: skip


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
