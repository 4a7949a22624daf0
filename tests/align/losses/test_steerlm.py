import torch

from align import losses
from tests.align.batches import exact, float64

GROUP = torch.tensor([5, 2, 5, 2, 2, -1])


def test_shares_of_each_group_sum_to_1():
    shares = losses.group_log_softmax(torch.randn(6, dtype=torch.float64), GROUP).exp()
    for one in (5, 2, -1):
        exact(shares[one == GROUP].sum(), 1.0)


def test_nothing_is_left_to_learn_where_shares_are_those_wanted():
    proposal = torch.randn(6, dtype=torch.float64)
    scores = torch.randn(6, dtype=torch.float64)
    targets = losses.group_log_softmax(scores, GROUP).exp()
    logprobs = float64((scores + proposal).tolist())
    terms = losses.steerlm(logprobs, proposal, targets, GROUP)
    (found,) = torch.autograd.grad(terms.sum(), [logprobs])
    exact(terms.sum(), 0.0)
    exact(found, torch.zeros(6))


def test_a_completion_that_is_not_wanted_at_all_is_finite():
    logprobs = float64([-2.0, -1.0])
    terms = losses.steerlm(logprobs, torch.zeros(2).double(), torch.tensor([0.0, 1.0]).double(), torch.zeros(2).long())
    (found,) = torch.autograd.grad(terms.sum(), [logprobs])
    assert torch.isfinite(terms).all()
    share = torch.tensor([-2.0, -1.0]).double().softmax(0)
    exact(found, share - torch.tensor([0.0, 1.0]))
