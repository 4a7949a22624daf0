"""Direct preference optimisation and its family (Rafailov et al. 2023): pairs, no reward model, no rollouts."""

from __future__ import annotations

from align.methods.offline import Offline
from align.objectives import PreferenceLoss
from align.run.job import Job

DATA = "pairs"


def open_method(job: Job) -> Offline:
    """Return the method at work on this rank; simpo and orpo need no reference."""
    loss = PreferenceLoss(job.config.settings)
    return Offline(job, loss, reference=loss.reference)
