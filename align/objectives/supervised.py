"""What learns from given completions: supervised fine-tuning, SteerLM 2, distillation."""

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
from align.sections import Distillation

Result = tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]


@dataclass(frozen=True)
class SftLoss:
    """Cross entropy of the learnt tokens, all alike: also of SteerLM 1 and of rejection sampling."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs"})

    def __call__(self, outputs: Outputs, batch: TokenBatch, counts: Mapping[str, float]) -> Result:
        """Return the share of the loss, and nll: nats a token."""
        assert outputs.logprobs is not None
        nll = -outputs.logprobs
        return reduce.by_tokens(nll, batch.mask, counts), {"nll": reduce.metric(nll, batch.mask)}


@dataclass(frozen=True)
class SteerLmLoss:
    """SteerLM 2.0: KL from the wanted shares of a prompt's completions to the policy's; a mean over prompts."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs"})

    def __call__(self, outputs: Outputs, batch: TokenBatch, counts: Mapping[str, float]) -> Result:
        """Return the share of the loss, and logprob: nats of a whole completion. Fields: old_logprobs, weights."""
        assert outputs.logprobs is not None
        logprobs = reduce.sequence_sum(outputs.logprobs, batch.mask)
        proposal = fields.of_tokens(batch, "old_logprobs", outputs.logprobs).sum(1)
        targets = fields.of_sequences(batch, "weights", logprobs)
        real = fields.real(batch)
        terms = losses.steerlm(logprobs, proposal, targets, batch.example)
        return reduce.share(terms, real, counts["examples"]), {"logprob": reduce.metric(logprobs, real)}


@dataclass(frozen=True)
class DistillationLoss:
    """Divergence from a teacher over its candidates, and cross entropy, of the learnt tokens."""

    settings: Distillation

    @property
    def needs(self) -> frozenset[Need]:
        """Log-probabilities of candidates; of the tokens themselves where they are learnt too."""
        return frozenset({"candidates", "logprobs"} if self.settings.sft_weight else {"candidates"})

    def __call__(self, outputs: Outputs, batch: TokenBatch, counts: Mapping[str, float]) -> Result:
        """Return the share of the loss, divergence, agreement of the likeliest candidate. Field: teacher_logprobs."""
        settings, student = self.settings, outputs.candidates
        assert student is not None
        teacher = fields.of_tokens(batch, "teacher_logprobs", student)
        divergence = losses.distillation(student, teacher, settings.divergence, settings.mix, settings.temperature)
        loss = settings.weight * reduce.by_tokens(divergence, batch.mask, counts)
        if settings.sft_weight:
            assert outputs.logprobs is not None
            loss = loss - settings.sft_weight * reduce.by_tokens(outputs.logprobs, batch.mask, counts)
        agrees = torch.argmax(student, -1) == torch.argmax(teacher, -1)
        return loss, {
            "divergence": reduce.metric(divergence, batch.mask),
            "agreement": reduce.metric(agrees, batch.mask),
        }
