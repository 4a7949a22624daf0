"""One optimizer step of a policy, whichever ranks hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from align.batch import Example
from align.policy import Loss, Policy, StepResult
from align.run.measure import Layout, gathered


def update(
    policy: Policy | None, examples: Sequence[Example], layout: Layout, loss: Loss, over: Mapping[str, float]
) -> StepResult:
    """Take one optimizer step on the ranks that hold a policy; return what it came to on all."""
    came: StepResult | None = None
    if policy is not None:
        came = policy.train_step(layout.batches(examples, policy.data_rank, policy.data_ranks), loss, over)
    results: list[StepResult | None] = gathered(came)
    return next(one for one in results if one is not None)
