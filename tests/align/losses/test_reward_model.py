import math

import pytest
import torch

from align import losses
from align.errors import DataError
from align.objectives import RewardModelLoss
from align.policy import Outputs
from align.sections import RewardModel
from tests.align.batches import exact, float64, token_batch


def test_a_pair_of_equal_scores_costs_log_2():
    exact(losses.bradley_terry(torch.zeros(1).double(), torch.zeros(1).double()), [math.log(2)])


def test_no_margin_is_bradley_terry_and_no_preference_is_nothing():
    chosen, rejected = torch.tensor([0.3, -2.0]).double(), torch.tensor([0.1, 4.0]).double()
    none = torch.zeros(2).double()
    exact(losses.bradley_terry_margin(chosen, rejected, none), losses.bradley_terry(chosen, rejected))
    exact(losses.bradley_terry_scaled(chosen, rejected, none), none)


def test_attributes_that_are_not_rated_have_no_gradient():
    scores = float64([[1.0, 2.0], [3.0, 4.0]])
    terms = losses.regression(scores, torch.tensor([[0.0, torch.nan], [torch.nan, torch.nan]]).double())
    (found,) = torch.autograd.grad(terms.sum(), [scores])
    exact(terms, [[1.0, 0.0], [0.0, 0.0]])
    exact(found, [[2.0, 0.0], [0.0, 0.0]])


def test_scores_for_another_number_of_attributes_are_refused():
    batch = token_batch(torch.ones(2, 1), attributes=torch.zeros(2, 5))
    with pytest.raises(DataError, match=r"attributes of a batch has shape \(2, 5\), not \(2, 1\)"):
        RewardModelLoss(RewardModel(loss="regression"))(Outputs(scores=torch.zeros(2, 1)), batch, {"attributes": 10.0})
