"""What learns from pairs and labels without drawing completions: reward models, the DPO family, KTO."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from align import losses
from align.batch import TokenBatch
from align.losses import reduce
from align.objectives import fields
from align.policy import Need, Outputs
from align.sections import Dpo, DpoLoss, Kto, RewardModel

Result = tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]

AVERAGED = frozenset({"ipo", "simpo", "orpo"})  # by default, over a completion's tokens
REFERENCE_FREE = frozenset({"simpo", "orpo"})

# settings, gap of log-ratios, gap of given rewards -> losses of pairs
GAP_LOSSES: dict[DpoLoss, Callable[[Dpo, Tensor, Tensor], Tensor]] = {
    "dpo": lambda s, gap, _: losses.dpo(gap, s.beta),
    "cdpo": lambda s, gap, _: losses.cdpo(gap, s.beta, s.label_smoothing),
    "robust": lambda s, gap, _: losses.robust(gap, s.beta, s.label_smoothing),
    "ipo": lambda s, gap, _: losses.ipo(gap, s.beta),
    "hinge": lambda s, gap, _: losses.hinge(gap, s.beta),
    "rpo_sq": lambda s, gap, given: losses.rpo_sq(gap, s.beta, given),
    "rpo_fwd_kl": lambda s, gap, given: losses.rpo_fwd_kl(gap, s.beta, given),
    "rpo_bwd_kl": lambda s, gap, given: losses.rpo_bwd_kl(gap, s.beta, given),
    "simpo": lambda s, gap, _: losses.simpo(gap, s.beta, s.gamma),
}


@dataclass(frozen=True)
class PreferenceLoss:
    """DPO and its family: a mean over pairs; also of SPIN and constitutional AI."""

    settings: Dpo
    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs"})

    @property
    def reference(self) -> bool:
        """Whether the field reference_logprobs is needed."""
        return self.settings.loss not in REFERENCE_FREE

    def __call__(self, outputs: Outputs, batch: TokenBatch, counts: Mapping[str, float]) -> Result:
        """Return the share of the loss; accuracy, implied rewards and their margin, nats a token of each side.

        Fields: reference_logprobs (not simpo, orpo); chosen_reward, rejected_reward (rpo).
        The chosen side's cross entropy is a mean over its tokens (Pang et al. 2024).
        """
        settings, logprobs = self.settings, outputs.logprobs
        assert logprobs is not None
        average = settings.loss in AVERAGED if settings.average is None else settings.average
        collect = reduce.sequence_mean if average or settings.loss == "orpo" else reduce.sequence_sum
        score = collect(logprobs, batch.mask)
        if self.reference:
            score = score - collect(fields.of_tokens(batch, "reference_logprobs", logprobs), batch.mask)
        chosen, rejected = fields.sides(score)
        if settings.loss == "orpo":
            terms = losses.orpo(chosen, rejected, settings.beta)
        else:
            terms = GAP_LOSSES[settings.loss](settings, chosen - rejected, self._given(batch, score))
        real, _ = fields.sides(fields.real(batch))
        loss = reduce.share(terms, real, counts["pairs"])
        chosen_mean, rejected_mean = fields.sides(reduce.sequence_mean(logprobs, batch.mask))
        if settings.sft_weight:
            loss = loss - settings.sft_weight * reduce.share(chosen_mean, real, counts["pairs"])
        return loss, {
            "accuracy": reduce.metric(chosen > rejected, real),
            "chosen_reward": reduce.metric(settings.beta * chosen, real),
            "rejected_reward": reduce.metric(settings.beta * rejected, real),
            "reward_margin": reduce.metric(settings.beta * (chosen - rejected), real),
            "chosen_logprob": reduce.metric(chosen_mean, real),
            "rejected_logprob": reduce.metric(rejected_mean, real),
        }

    def _given(self, batch: TokenBatch, like: Tensor) -> Tensor:
        """Return (p,) eta x (chosen reward - rejected reward) for rpo; zeros for others."""
        if not self.settings.loss.startswith("rpo"):
            return like.new_zeros(len(like) // 2)
        chosen, _ = fields.sides(fields.of_sequences(batch, "chosen_reward", like))
        rejected, _ = fields.sides(fields.of_sequences(batch, "rejected_reward", like))
        return self.settings.reward_scale * (chosen - rejected)


@dataclass(frozen=True)
class KtoLoss:
    """KTO: a mean over sequences."""

    settings: Kto
    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs"})

    def __call__(self, outputs: Outputs, batch: TokenBatch, counts: Mapping[str, float]) -> Result:
        """Return the share of the loss; implied rewards of both kinds, accuracy against the baseline, the baseline.

        Fields: reference_logprobs, desirable, kl_baseline.
        """
        settings, logprobs = self.settings, outputs.logprobs
        assert logprobs is not None
        reference = fields.of_tokens(batch, "reference_logprobs", logprobs)
        log_ratio = reduce.sequence_sum(logprobs - reference, batch.mask)
        good = fields.of_sequences(batch, "desirable", log_ratio) > 0.5
        baseline = fields.of_sequences(batch, "kl_baseline", log_ratio)
        weights = (settings.desirable, settings.undesirable)
        terms = losses.kto(log_ratio, good, baseline, settings.beta, weights)
        real = fields.real(batch)
        return reduce.share(terms, real, counts["sequences"]), {
            "desirable_reward": reduce.metric(settings.beta * log_ratio, real & good),
            "undesirable_reward": reduce.metric(settings.beta * log_ratio, real & ~good),
            "accuracy": reduce.metric((log_ratio > baseline) == good, real),
            "kl_baseline": reduce.metric(baseline, real),
        }


@dataclass(frozen=True)
class RewardModelLoss:
    """Scores of pairs: a mean over pairs; of attributes: a mean over those that are rated."""

    settings: RewardModel
    needs: ClassVar[frozenset[Need]] = frozenset({"scores"})

    def __call__(self, outputs: Outputs, batch: TokenBatch, counts: Mapping[str, float]) -> Result:
        """Return the share of the loss, with accuracy and scores, or the mean error. Fields: margin or attributes."""
        assert outputs.scores is not None
        if self.settings.loss == "regression":
            return self._regression(outputs.scores, batch, counts)
        return self._pairs(outputs.scores[:, 0], batch, counts)

    def _pairs(self, scores: Tensor, batch: TokenBatch, counts: Mapping[str, float]) -> Result:
        chosen, rejected = fields.sides(scores)
        if self.settings.loss == "bradley_terry":
            terms = losses.bradley_terry(chosen, rejected)
        else:
            margin, _ = fields.sides(fields.of_sequences(batch, "margin", scores))
            scaled = self.settings.loss == "scaled"
            terms = (losses.bradley_terry_scaled if scaled else losses.bradley_terry_margin)(chosen, rejected, margin)
        if self.settings.center:
            terms = terms + self.settings.center * losses.centring(chosen, rejected)
        real, _ = fields.sides(fields.real(batch))
        return reduce.share(terms, real, counts["pairs"]), {
            "accuracy": reduce.metric(chosen > rejected, real),
            "chosen_reward": reduce.metric(chosen, real),
            "rejected_reward": reduce.metric(rejected, real),
            "reward_margin": reduce.metric(chosen - rejected, real),
        }

    def _regression(self, scores: Tensor, batch: TokenBatch, counts: Mapping[str, float]) -> Result:
        attributes = fields.of_sequences(batch, "attributes", scores)
        rated = ~attributes.isnan() & fields.real(batch)[:, None]
        loss = reduce.share(losses.regression(scores, attributes), rated, counts["attributes"])
        return loss, {"error": reduce.metric((scores - attributes).abs(), rated), "score": reduce.metric(scores, rated)}
