"""Direct preference optimisation and its family (Rafailov et al. 2023): pairs, no reward model, no rollouts."""

from __future__ import annotations

from collections.abc import Sequence

from align.batch import Example
from align.methods.offline import Offline
from align.objectives import PreferenceLoss
from align.run.data import renamed
from align.run.job import Job

REWARDS = {"chosen_score": "chosen_reward", "rejected_score": "rejected_reward"}


class DpoMethod(Offline):
    """Pairs; simpo and orpo need no reference."""

    def __init__(self, job: Job):
        loss = PreferenceLoss(job.config.settings)
        super().__init__(job, loss, reference=loss.reference)

    def complete(self, examples: Sequence[Example]) -> list[Example]:
        """Return pairs with the rewards that rpo reads: those of the data, else 1 and 0."""
        return renamed(super().complete(examples), REWARDS, chosen_reward=1.0, rejected_reward=0.0)


def open_method(job: Job) -> DpoMethod:
    """Return the method at work on this rank."""
    return DpoMethod(job)
