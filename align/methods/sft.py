"""Supervised fine-tuning: cross entropy of the answers, or of all tokens."""

from __future__ import annotations

from align.methods.offline import Offline
from align.objectives import SftLoss
from align.run.job import Job


def open_method(job: Job) -> Offline:
    """Return the method at work on this rank."""
    return Offline(job, SftLoss())
