"""Rejection sampling: fine-tuning on the best of several completions (Touvron et al. 2023, section 3.2.3; RAFT)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from align.batch import Example
from align.methods.iterated import Iterated, Phase
from align.objectives import SftLoss
from align.run.data import WATCHED
from align.run.job import Job
from align.run.samples import Sample


class RejectionSamplingMethod(Iterated):
    """Each iteration: complete every prompt several times, keep the best, and learn them."""

    def planned(self) -> Sequence[Phase]:
        """Return an iteration a phase."""
        return [Phase(f"iteration {i + 1}", SftLoss(), self.best) for i in range(self.job.config.settings.iterations)]

    def best(self) -> tuple[list[Example], list[Sample], dict[str, float]]:
        """Return the best completions of each prompt: of equal rewards the first drawn."""
        settings = self.job.config.settings
        drawn = self.rollouts.draw(self.data.everything, settings.group_size, "draw", self.phase)
        order = np.argsort(-drawn.rewards.reshape(-1, settings.group_size), axis=1, kind="stable")[:, : settings.keep]
        rows = np.arange(len(order))[:, None] * settings.group_size + order
        kept = [int(i) for i in rows.ravel() if settings.min_reward is None or drawn.rewards[i] >= settings.min_reward]
        facts = drawn.facts() | {"acceptance": len(kept) / len(drawn.rewards)}
        if not kept:
            return [], [], facts
        best = drawn.take(kept)
        return best.examples(), best.samples(WATCHED), facts | {"kept_reward": float(best.rewards.mean())}


def open_method(job: Job) -> RejectionSamplingMethod:
    """Return the method at work on this rank."""
    return RejectionSamplingMethod(job)
