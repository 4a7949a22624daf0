"""What learns from completions of its own: PPO's actor and critic, the GRPO family, REINFORCE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from align import losses
from align.batch import TokenBatch
from align.losses import reduce
from align.objectives import fields
from align.policy import Need, Outputs
from align.sections import Grpo, Ppo, Reinforce

Metrics = dict[str, tuple[Tensor, Tensor]]
Result = tuple[Tensor, Metrics]


@dataclass(frozen=True)
class PpoLoss:
    """PPO's actor: clipped ratios and an entropy bonus, a mean over tokens. The KL penalty is in the rewards."""

    settings: Ppo

    @property
    def needs(self) -> frozenset[Need]:
        """Log-probabilities; the entropy only where it is weighed."""
        return frozenset({"logprobs", "entropy"} if self.settings.entropy else {"logprobs"})

    def __call__(self, outputs: Outputs, batch: TokenBatch, counts: Mapping[str, float]) -> Result:
        """Return the share of the loss; ratios before clipping, shares of clipped tokens, KL from the old policy.

        Fields: old_logprobs, advantages; importance if any.
        """
        settings, drawn = self.settings, Drawn.of(outputs, batch)
        ratio = losses.token_ratio(drawn.logprobs, drawn.old)
        terms = losses.clipped(ratio, drawn.advantages, settings.clip_low, settings.clip_high, settings.dual_clip)
        loss = reduce.by_tokens(drawn.importance * terms, batch.mask, counts)
        metrics = drawn.metrics(ratio, settings.clip_low, settings.clip_high, batch.mask)
        if settings.entropy:
            assert outputs.entropy is not None
            loss = loss - settings.entropy * reduce.by_tokens(outputs.entropy, batch.mask, counts)
            metrics["entropy"] = reduce.metric(outputs.entropy, batch.mask)
        return loss, metrics


@dataclass(frozen=True)
class ValueLoss:
    """PPO's critic: squared errors of returns, a mean over tokens."""

    settings: Ppo
    needs: ClassVar[frozenset[Need]] = frozenset({"values"})

    def __call__(self, outputs: Outputs, batch: TokenBatch, counts: Mapping[str, float]) -> Result:
        """Return the share of the loss; values, returns, mean squared error, share beyond the clip.

        Fields: returns, old_values.
        """
        assert outputs.values is not None
        values, clip = outputs.values, self.settings.value_clip
        returns = fields.of_tokens(batch, "returns", values)
        old = fields.of_tokens(batch, "old_values", values)
        terms = losses.value(values, returns, old, clip)
        loss = self.settings.value_weight * reduce.by_tokens(terms, batch.mask, counts)
        return loss, {
            "value": reduce.metric(values, batch.mask),
            "return": reduce.metric(returns, batch.mask),
            "value_error": reduce.metric((values - returns) ** 2, batch.mask),
            "value_clip_fraction": reduce.metric(((values - old).abs() > clip) & (clip > 0), batch.mask),
        }


@dataclass(frozen=True)
class GrpoLoss:
    """The GRPO family: one surrogate for tokens or sequences, normalised as each paper does.

    grpo, bnpo, dapo and dr_grpo clip ratios of tokens, gspo of sequences; cispo bounds them by 1 + clip_high. Under
    global counts bnpo and dapo are one.
    """

    settings: Grpo
    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs"})

    @property
    def reference(self) -> bool:
        """Whether the field reference_logprobs is needed."""
        return self.settings.beta != 0

    def __call__(self, outputs: Outputs, batch: TokenBatch, counts: Mapping[str, float]) -> Result:
        """Return the share of the loss; PPO's metrics, and kl to the reference where it is weighed.

        Fields: old_logprobs, advantages; importance if any; reference_logprobs where beta is not 0.
        """
        settings, drawn = self.settings, Drawn.of(outputs, batch)
        if settings.loss == "gspo":
            ratio = losses.sequence_ratio(drawn.logprobs, drawn.old, batch.mask)
        else:
            ratio = losses.token_ratio(drawn.logprobs, drawn.old)
        low, high = settings.clips
        if settings.loss == "cispo":
            terms = losses.cispo(drawn.logprobs, ratio, drawn.advantages, high)
        else:
            terms = losses.clipped(ratio, drawn.advantages, low, high, settings.dual_clip)
        terms = drawn.importance * terms
        metrics = drawn.metrics(ratio, low, high, batch.mask)
        if self.reference:
            reference = fields.of_tokens(batch, "reference_logprobs", drawn.logprobs)
            kl = losses.kl(drawn.logprobs, reference, "k3")
            terms = terms + settings.beta * kl
            metrics["kl"] = reduce.metric(kl, batch.mask)
        return reduce.NORMALISED_BY[settings.loss](terms, batch.mask, counts), metrics


@dataclass(frozen=True)
class ReinforceLoss:
    """REINFORCE: advantages of whole completions, a mean over sequences. The KL penalty is in the rewards."""

    settings: Reinforce
    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs"})

    def __call__(self, outputs: Outputs, batch: TokenBatch, counts: Mapping[str, float]) -> Result:
        """Return the share of the loss; PPO's metrics. Fields: old_logprobs, advantages; importance if any."""
        drawn = Drawn.of(outputs, batch)
        terms = drawn.importance * losses.reinforce(drawn.logprobs, drawn.advantages)
        ratio = losses.token_ratio(drawn.logprobs, drawn.old)
        return reduce.sums_by_sequences(terms, batch.mask, counts), drawn.metrics(ratio, 1.0, torch.inf, batch.mask)


@dataclass(frozen=True)
class Drawn:
    """What all policy gradients read of a batch: (n, t) each, 0 outside the mask."""

    logprobs: Tensor
    old: Tensor
    advantages: Tensor
    importance: Tensor

    @classmethod
    def of(cls, outputs: Outputs, batch: TokenBatch) -> Drawn:
        """Read old_logprobs, advantages and importance of a batch."""
        assert outputs.logprobs is not None
        logprobs = reduce.keep(outputs.logprobs, batch.mask)
        weighed = "importance" in batch.fields
        return cls(
            logprobs,
            fields.of_tokens(batch, "old_logprobs", logprobs),
            fields.of_tokens(batch, "advantages", logprobs),
            fields.of_tokens(batch, "importance", logprobs) if weighed else torch.ones_like(logprobs),
        )

    def metrics(self, ratio: Tensor, low: float, high: float, mask: Tensor) -> Metrics:
        """Return means over tokens. ratio_error is that of exp(|log ratio|) of tokens, also if sequences are clipped.

        It shows what a mean near 1 hides, and a sequence's average too.
        """
        of_tokens = losses.token_ratio(self.logprobs, self.old)
        below, above = losses.clipped_sides(ratio, self.advantages, low, high)
        found = {
            "ratio": ratio,
            "ratio_error": torch.maximum(of_tokens, 1 / of_tokens),
            "clip_fraction": below | above,
            "clip_fraction_low": below,
            "clip_fraction_high": above,
            "old_kl": losses.kl(self.logprobs, self.old, "k3"),
            "advantage": self.advantages,
            "importance": self.importance,
        }
        return {name: reduce.metric(value, mask) for name, value in found.items()}
