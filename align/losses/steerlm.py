"""SteerLM 2.0: a policy that meets wanted attributes (Wang et al. 2024, "HelpSteer2").

A prompt's completions, drawn from a proposal Q'(y|x,a), stand for all. Over them the policy should be distributed as
P(y|x,a), which Bayes' rule gives from a model of attributes and one of answers.
"""

from __future__ import annotations

import torch
from torch import Tensor


def group_log_softmax(scores: Tensor, group: Tensor) -> Tensor:
    """Return (n,) log-shares of exp(scores) in each group. group: int64 (n,). Takes n x n cells of memory."""
    same = group[:, None] == group[None, :]
    inside = torch.where(same, scores[None, :], -torch.inf)
    return scores - torch.logsumexp(inside, 1)


def steerlm_targets(attributes: Tensor, prior: Tensor, proposal: Tensor, group: Tensor) -> Tensor:
    """Return (n,) the wanted shares of a prompt's completions: w ~ P(a|x,y) P(y|x) / Q'(y|x,a).

    attributes, prior, proposal: (n,) log P(a|x,y), log P(y|x), log Q'(y|x,a) of whole sequences.
    """
    return group_log_softmax(attributes + prior - proposal, group).exp()


def steerlm(logprobs: Tensor, proposal: Tensor, targets: Tensor, group: Tensor) -> Tensor:
    """Return (n,) terms of each prompt's KL(targets || shares), shares ~ pi(y|x,a) / Q'(y|x,a).

    Its gradient is the paper's: -sum (target - share) x grad log pi, the share being the baseline.
    logprobs, proposal: (n,) of whole sequences; the group must be whole.
    """
    return torch.xlogy(targets, targets) - targets * group_log_softmax(logprobs - proposal, group)
