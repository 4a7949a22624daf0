"""KTO (Ethayarajh et al. 2024): single completions labelled good or bad, against a batch's own reference point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from align.batch import Example
from align.losses import kto_baseline
from align.methods.offline import Offline
from align.objectives import KtoLoss
from align.run.data import renamed
from align.run.evaluate import of_logprobs
from align.run.job import Job
from align.run.measure import measure
from align.run.reference import FIELD


class KtoMethod(Offline):
    """A batch's prompts with each other's completions, their second sequences, give the reference point."""

    def __init__(self, job: Job):
        super().__init__(job, KtoLoss(job.config.settings), reference=True)

    def complete(self, examples: Sequence[Example]) -> list[Example]:
        """Return the labelled sequences alone, with the reference's log-probabilities and the reference point."""
        if not examples:
            return []
        whole = super().complete(examples)
        others = [Example(one.id, one.sequences[1:]) for one in whole]
        now = measure(self.policy, others, self.layout, of_logprobs)
        ratios = torch.tensor([_log_ratio(one, values) for one, (values,) in zip(others, now, strict=True)])
        point = float(kto_baseline(ratios))
        first = [replace(one, sequences=one.sequences[:1]) for one in whole]
        return renamed(first, {"label": "desirable"}, kl_baseline=point)


def _log_ratio(example: Example, now: np.ndarray) -> float:
    (one,) = example.sequences
    return float(((now - one.token_fields[FIELD]) * one.mask[1:]).sum())


def open_method(job: Job) -> KtoMethod:
    """Return the method at work on this rank."""
    return KtoMethod(job)
