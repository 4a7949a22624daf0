"""GRPO (Shao et al. 2024) and its family: BNPO, DAPO, Dr. GRPO, GSPO, CISPO. No critic: a group is its own baseline."""

from __future__ import annotations

import numpy as np
import torch

from align.advantages import group_advantages, informative, overlong_penalty
from align.batch import Example
from align.errors import RolloutError
from align.methods.online import Online, unfinished_left_out
from align.objectives import GrpoLoss
from align.run.experience import Experience, masks, with_rows
from align.run.job import Job


class GrpoMethod(Online):
    """A completion's advantage: its reward among those of the same prompt."""

    def __init__(self, job: Job):
        self.settings = job.config.settings
        loss = GrpoLoss(self.settings)
        super().__init__(
            job, loss, self.settings.group_size, self.settings.epochs, self.settings.minibatches, loss.reference
        )

    def draw(self, number: int) -> tuple[Experience, dict[str, float]]:
        """Draw completions; with dynamic sampling until enough prompts have rewards that differ (DAPO, section 3.2).

        Whether they differ is asked before the penalty of overlong completions; what is logged is of all drawn.
        """
        first, facts = super().draw(number)
        drawn = self._shaped(first)
        if not self.settings.dynamic_sampling:
            return drawn, facts | drawn.facts()
        wanted, batches = len(drawn.rewards), 1
        kept = drawn.take(_informative(first))
        while len(kept.rewards) < wanted and batches < self.settings.max_draws:
            more, facts = super().draw(number)
            shaped = self._shaped(more)
            drawn, kept, batches = drawn.and_then(shaped), kept.and_then(shaped.take(_informative(more))), batches + 1
        seen = len(drawn.rewards)
        if not len(kept.rewards):
            raise RolloutError(
                f"step {number}: in {seen} completions of {batches} batches no prompt earned rewards that differ, so "
                "there is nothing to learn; grpo.max_draws allows no more"
            )
        facts |= drawn.facts() | {"acceptance": len(kept.rewards) / seen, "draws": float(batches)}
        return kept.take(range(min(wanted, len(kept.rewards)))), facts

    def _shaped(self, drawn: Experience) -> Experience:
        """Add the penalty of overlong completions to their rewards."""
        if not self.settings.overlong:
            return drawn
        lengths = torch.tensor([len(rollout.tokens) for rollout in drawn.rollouts])
        limit = self.job.config.rollouts.max_tokens
        penalty = overlong_penalty(lengths, limit, self.settings.overlong).double().numpy()
        return drawn.with_rewards(drawn.rewards + penalty, overlong=penalty)

    def advantaged(self, examples: list[Example], drawn: Experience) -> tuple[list[Example], dict[str, float]]:
        """Return examples with advantages; and the share of completions whose group says nothing."""
        rewards = torch.from_numpy(drawn.rewards)
        advantages = group_advantages(rewards, drawn.group, self.settings.baseline, self.settings.scale)
        made = with_rows(examples, advantages=advantages[:, None] * masks(examples))
        if self.settings.mask_unfinished:
            made = unfinished_left_out(made, drawn)
        silent = 1 - float(informative(rewards, drawn.group).double().mean())
        return made, {"silent": silent}


def _informative(drawn: Experience) -> list[int]:
    return [int(i) for i in np.flatnonzero(informative(torch.from_numpy(drawn.rewards), drawn.group).numpy())]


def open_method(job: Job) -> GrpoMethod:
    """Return the method at work on this rank."""
    return GrpoMethod(job)
