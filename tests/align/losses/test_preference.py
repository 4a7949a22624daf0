import math

import pytest
import torch

from align import losses
from align.objectives import PreferenceLoss
from align.sections import Dpo
from tests.align.batches import exact, float64, gradient, token_batch

GAPS = torch.linspace(-5, 5, 11, dtype=torch.float64)


@pytest.mark.parametrize("beta", [0.01, 0.1, 2.0])
def test_dpo_begins_at_log_2_where_policy_and_reference_are_one(beta):
    logprobs = float64([[-1.0, -2.0, -0.5], [-3.0, -0.1, 0.0]])
    batch = token_batch([[1, 1, 1], [1, 1, 0]], [0, 0], reference_logprobs=logprobs.detach())
    loss, found = gradient(PreferenceLoss(Dpo(beta=beta)), batch, {"pairs": 1.0}, logprobs=logprobs)
    assert loss == math.log(2)
    exact(found, [[-beta / 2] * 3, [beta / 2, beta / 2, 0.0]])


def test_without_flipped_labels_cdpo_and_robust_are_dpo():
    expected = losses.dpo(GAPS, 0.3)
    exact(losses.cdpo(GAPS, 0.3, 0.0), expected)
    exact(losses.robust(GAPS, 0.3, 0.0), expected)


def test_robust_undoes_flipped_labels_on_average():
    share = 0.2
    noisy = (1 - share) * losses.robust(GAPS, 0.3, share) + share * losses.robust(-GAPS, 0.3, share)
    exact(noisy, losses.dpo(GAPS, 0.3))


@pytest.mark.parametrize("loss", [losses.rpo_sq, losses.rpo_fwd_kl, losses.rpo_bwd_kl])
def test_rpo_is_least_where_implied_and_given_rewards_agree(loss):
    wanted = torch.full_like(GAPS, 0.2 * 3)  # at gap 3
    found = loss(GAPS, 0.2, wanted)
    assert (found >= 0).all()
    assert found.argmin() == GAPS.tolist().index(3.0)
    exact(found.min(), 0.0, atol=1e-15)


def test_odds_of_a_sure_side_are_finite():
    sure = torch.zeros(2).requires_grad_()
    loss = losses.orpo(sure, torch.tensor([-1.0, 0.0]), 0.1)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(sure.grad).all()


def test_kto_turns_at_its_reference_point():
    log_ratio = float64([1.0, 1.0])
    terms = losses.kto(log_ratio, torch.tensor([True, False]), torch.tensor(1.0), 0.5)
    exact(terms, [0.5, 0.5])
    (found,) = torch.autograd.grad(terms.sum(), [log_ratio])
    exact(found, [-0.125, 0.125])


def test_the_reference_point_has_no_gradient_and_is_not_below_zero():
    log_ratio = float64([-3.0, 1.0])
    point = losses.kto_baseline(log_ratio)
    assert point == 0
    assert not point.requires_grad
