"""What each method can be told: one section of a configuration each. A field's comment is its documentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from align.errors import AlignSettingsError
from align.ranges import ABOVE, dual_clip, ranges

DpoLoss = Literal["dpo", "cdpo", "robust", "ipo", "hinge", "rpo_sq", "rpo_fwd_kl", "rpo_bwd_kl", "simpo", "orpo"]


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
        ranges("reward_model", self, center=0)


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
        ranges("dpo", self, beta=ABOVE, label_smoothing=(0, 0.5), reward_scale=ABOVE, sft_weight=0)
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
        ranges("kto", self, beta=ABOVE, desirable=ABOVE, undesirable=ABOVE)


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
        ranges(
            "ppo", self, critic_lr=ABOVE, critic_warmup=0, group_size=1, epochs=1, minibatches=1, clip_low=(0, 1),
            clip_high=0, value_clip=0, value_weight=ABOVE, entropy=0, kl=0, gamma=(0, 1), lam=(0, 1),
        )  # fmt: skip
        dual_clip("ppo", self.dual_clip)


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
        ranges(
            "grpo", self, group_size=2, epochs=1, minibatches=1, clip_low=(0, 1), clip_high=0, beta=0, max_draws=1,
            overlong=0,
        )  # fmt: skip
        dual_clip("grpo", self.dual_clip)

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
        ranges("reinforce", self, group_size=2 if self.baseline != "none" else 1, kl=0)


@dataclass(frozen=True)
class SteerLm:
    """Attributes in the prompt (Dong et al. 2023), and SteerLM 2.0, which learns to meet them."""

    version: Literal[1, 2] = 1
    attributes: tuple[str, ...] = ()  # (): all in the data
    group_size: int = 4  # of 2: completions a prompt
    reward_model: str = ""  # of 2: a regression reward model, which measures the attributes
    deviation: float = 1.0  # of 2: of its errors, in units of the ratings

    def __post_init__(self) -> None:
        ranges("steerlm", self, group_size=2, deviation=ABOVE)


@dataclass(frozen=True)
class Spin:
    """Self-play: the model's own completions against the data's (Chen et al. 2024)."""

    iterations: int = 3
    beta: float = 0.1

    def __post_init__(self) -> None:
        ranges("spin", self, iterations=1, beta=ABOVE)


@dataclass(frozen=True)
class RejectionSampling:
    """Fine-tuning on the best of several completions."""

    iterations: int = 1
    group_size: int = 4
    keep: int = 1  # of each prompt's
    min_reward: float | None = None  # below it none is kept

    def __post_init__(self) -> None:
        ranges("rejection_sampling", self, iterations=1, group_size=1, keep=(1, self.group_size))


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
        ranges("constitutional", self, revisions=0, beta=ABOVE)
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
        ranges(
            "distillation", self, mix=(0, 1), top_k=0, temperature=ABOVE, weight=0, sft_weight=0, on_policy=(0, 1),
        )  # fmt: skip


METHODS: dict[str, type[Any]] = {
    "sft": Sft, "reward_model": RewardModel, "dpo": Dpo, "kto": Kto, "ppo": Ppo, "grpo": Grpo, "reinforce": Reinforce,
    "steerlm": SteerLm, "spin": Spin, "rejection_sampling": RejectionSampling, "constitutional": Constitutional,
    "distillation": Distillation,
}  # fmt: skip
