"""KTO (Ethayarajh et al. 2024): single completions labelled good or bad, against a batch's own reference point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from align.batch import Example
from align.losses import kto_baseline
from align.methods.offline import Offline
from align.objectives import KtoLoss
from align.run.evaluate import of_logprobs
from align.run.job import Job
from align.run.measure import measure
from align.run.reference import FIELD

DATA = "labels"


class KtoMethod(Offline):
    """The second half of a batch are its prompts with each other's completions: they give the reference point."""

    def __init__(self, job: Job):
        super().__init__(job, KtoLoss(job.config.settings), reference=True)

    def batch(self, number: int) -> list[Example]:
        """Return a step's examples, and behind them the mismatched ones."""
        examples = self.data.train.batch(number - 1)
        return [*examples, *self.data.train.mismatched(examples)]

    def complete(self, examples: Sequence[Example]) -> list[Example]:
        """Return the labelled examples alone, with the reference's log-probabilities and the reference point."""
        whole = super().complete(examples)
        labelled = [one for one in whole if "desirable" in one.fields]
        others = [one for one in whole if "desirable" not in one.fields]
        given = measure(self.policy, others, self.layout, of_logprobs)
        ratios = [
            float(((now - one.sequences[0].token_fields[FIELD]) * one.sequences[0].mask[1:]).sum())
            for one, (now,) in zip(others, given, strict=True)
        ]
        import torch

        point = float(kto_baseline(torch.tensor(ratios))) if ratios else 0.0
        return [replace(one, fields={**one.fields, "kl_baseline": np.float32(point)}) for one in labelled]


def open_method(job: Job) -> KtoMethod:
    """Return the method at work on this rank."""
    return KtoMethod(job)
