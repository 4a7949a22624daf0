"""A reward model: a score a completion from pairs (Bradley-Terry), or several from rated attributes."""

from __future__ import annotations

from align.methods.offline import Offline
from align.objectives import RewardModelLoss
from align.run.job import Job


def open_method(job: Job) -> Offline:
    """Return the method at work on this rank."""
    settings = job.config.settings
    labels = job.data.loaded.attributes if settings.loss == "regression" else ()
    return Offline(job, RewardModelLoss(settings), head="reward", labels=labels)
