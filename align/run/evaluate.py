"""A loss on examples nothing is learnt from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from align.batch import Example, TokenBatch
from align.objectives import counts
from align.policy import Loss, Need, Outputs, Policy
from align.run.measure import Layout, gathered


def evaluate(policy: Policy | None, examples: Sequence[Example], layout: Layout, loss: Loss) -> dict[str, float]:
    """Return "loss" and the loss's metrics, means over the examples, on every rank; called by all together."""
    sums: dict[str, tuple[float, float]] = {}
    if policy is not None:
        over = counts(examples)
        batches = layout.batches(examples, policy.data_rank, policy.data_ranks)
        for batch, outputs in zip(batches, forward(policy, batches, loss.needs), strict=True):
            share, metrics = loss(outputs, batch, over)
            for name, (total, count) in {"loss": (share, torch.zeros(())), **metrics}.items():
                before = sums.get(name, (0.0, 0.0))
                sums[name] = before[0] + float(total), before[1] + float(count)
    rank = None if policy is None else policy.data_rank
    parts = {part[0]: part[1] for part in gathered((rank, sums)) if part[0] is not None}  # one of each data rank's
    names = dict.fromkeys(name for part in parts.values() for name in part)
    totals = {name: [sum(part[name][i] for part in parts.values() if name in part) for i in (0, 1)] for name in names}
    return {name: total / count if name != "loss" and count else total for name, (total, count) in totals.items()}


def forward(policy: Policy, batches: Sequence[TokenBatch], needs: frozenset[Need]) -> list[Outputs]:
    """Compute what a loss needs, without gradients, on the CPU."""
    if "scores" in needs:
        return [Outputs(scores=scores) for scores in policy.scores(batches)]
    if "values" in needs:
        return [Outputs(values=values) for values in policy.values(batches)]
    return policy.logprobs(batches, entropy="entropy" in needs, candidates="candidates" in needs)


def of_logprobs(policy: Policy, batches: Sequence[TokenBatch]) -> list[Tensor]:
    """For `measure`: log-probabilities of tokens."""
    return [outputs.logprobs for outputs in policy.logprobs(batches) if outputs.logprobs is not None]


def of_values(policy: Policy, batches: Sequence[TokenBatch]) -> list[Tensor]:
    """For `measure`: a critic's values."""
    return policy.values(batches)


def of_scores(policy: Policy, batches: Sequence[TokenBatch]) -> list[Tensor]:
    """For `measure`, per sequence: a reward model's scores."""
    return policy.scores(batches)
