"""REINFORCE with a leave-one-out baseline, RLOO (Ahmadian et al. 2024, section 3)."""

from __future__ import annotations

import torch

from align import losses
from align.advantages import group_advantages
from align.batch import Example
from align.losses import reduce
from align.methods.online import Online
from align.objectives import ReinforceLoss
from align.run.experience import Experience, masks, stacked, with_rows
from align.run.job import Job


class ReinforceMethod(Online):
    """A completion's advantage: its reward, less its KL to the reference, less the mean of the others."""

    def __init__(self, job: Job):
        self.settings = job.config.settings
        loss = ReinforceLoss(self.settings)
        super().__init__(job, loss, self.settings.group_size, reference=self.settings.kl != 0)

    def advantaged(self, examples: list[Example], drawn: Experience) -> tuple[list[Example], dict[str, float]]:
        """Return examples with advantages; and the KL, a completion."""
        mask, rewards = masks(examples), torch.from_numpy(drawn.rewards)
        metrics = {}
        if self.settings.kl:
            terms = losses.kl(stacked(examples, "old_logprobs"), stacked(examples, "reference_logprobs"),
                              self.settings.kl_kind)  # fmt: skip
            kl = reduce.sequence_sum(terms, mask).double()
            rewards = rewards - self.settings.kl * kl
            metrics["kl"] = float(kl.mean())
        advantages = group_advantages(rewards, drawn.group, self.settings.baseline, "none")
        return with_rows(examples, advantages=advantages[:, None] * mask), metrics


def open_method(job: Job) -> ReinforceMethod:
    """Return the method at work on this rank."""
    return ReinforceMethod(job)
