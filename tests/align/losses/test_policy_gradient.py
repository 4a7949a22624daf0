import pytest
import torch

from align import losses
from align.advantages import group_advantages
from align.objectives import GrpoLoss, PpoLoss, ReinforceLoss
from align.sections import Grpo, Ppo, Reinforce
from tests.align.batches import exact, float64, gradient, token_batch

MASK = [[1, 1, 1, 0], [1, 0, 1, 1]]
ADVANTAGES = torch.tensor([[1.5] * 4, [-0.7] * 4], dtype=torch.float64)
LOGPROBS = [[-1.0, -0.3, -2.0, -0.1], [-0.2, -0.9, -1.4, -3.0]]
COUNTS = {"tokens": 6.0, "sequences": 2.0, "max_tokens": 8.0}
FAMILY = ["grpo", "bnpo", "dapo", "dr_grpo", "gspo", "cispo"]


@pytest.mark.parametrize("kind", FAMILY)
@pytest.mark.parametrize("baseline", ["mean", "leave_one_out"])
def test_equal_rewards_without_kl_teach_exactly_nothing(kind, baseline):
    advantages = group_advantages(torch.tensor([0.1] * 3), torch.zeros(3, dtype=torch.int64), baseline)
    logprobs = -torch.rand(3, 4).requires_grad_()
    batch = token_batch(torch.ones(3, 4), advantages=advantages[:, None].expand(3, 4), old_logprobs=-torch.rand(3, 4))
    counts = {"tokens": 12.0, "sequences": 3.0, "max_tokens": 12.0}
    loss, found = gradient(GrpoLoss(Grpo(loss=kind)), batch, counts, logprobs=logprobs)
    assert loss == 0
    assert (found == 0).all()


@pytest.mark.parametrize("objective", [PpoLoss(Ppo()), GrpoLoss(Grpo(loss="dapo")), GrpoLoss(Grpo(loss="cispo"))])
def test_at_ratio_1_the_gradient_is_that_of_reinforce(objective):
    batch = token_batch(MASK, advantages=ADVANTAGES, old_logprobs=torch.tensor(LOGPROBS, dtype=torch.float64))
    _, found = gradient(objective, batch, COUNTS, logprobs=float64(LOGPROBS))
    exact(found, -ADVANTAGES * torch.tensor(MASK) / 6)


def test_reinforce_ignores_ratios_and_weighs_sequences_alike():
    batch = token_batch(MASK, advantages=ADVANTAGES, old_logprobs=torch.zeros(2, 4).double())
    _, found = gradient(ReinforceLoss(Reinforce()), batch, COUNTS, logprobs=float64(LOGPROBS))
    exact(found, -ADVANTAGES * torch.tensor(MASK) / 2)


@pytest.mark.parametrize(("advantage", "sign"), [(1.0, 1), (-1.0, -1)])
def test_the_gradient_is_exactly_zero_only_where_a_ratio_went_too_far(advantage, sign):
    low, high = 0.2, 0.28
    ratios = torch.tensor([0.5, 0.79, 0.81, 1.0, 1.27, 1.29, 3.0], dtype=torch.float64)
    logprobs = ratios.log().requires_grad_()
    advantages = torch.full_like(ratios, advantage)
    ratio = losses.token_ratio(logprobs, torch.zeros_like(ratios))
    (found,) = torch.autograd.grad(losses.clipped(ratio, advantages, low, high).sum(), [logprobs])
    too_far = ratios > 1 + high if sign > 0 else ratios < 1 - low
    assert (found[too_far] == 0).all()
    exact(found[~too_far], -advantage * ratios[~too_far])
    below, above = losses.clipped_sides(ratio, advantages, low, high)
    assert (below | above).tolist() == too_far.tolist()
    assert (above if sign > 0 else below).tolist() == too_far.tolist()


def test_dual_clip_bounds_the_loss_of_negative_advantages_alone():
    ratios = torch.tensor([0.5, 1.1, 2.9, 3.1, 50.0], dtype=torch.float64)
    plain = losses.clipped(ratios, torch.full_like(ratios, -2.0), 0.2, 0.2)
    dual = losses.clipped(ratios, torch.full_like(ratios, -2.0), 0.2, 0.2, dual=3.0)
    exact(dual, plain.clamp(max=6.0))
    good = torch.full_like(ratios, 2.0)
    exact(losses.clipped(ratios, good, 0.2, 0.2, dual=3.0), losses.clipped(ratios, good, 0.2, 0.2))


@pytest.mark.parametrize("gap", [-200.0, 200.0])
@pytest.mark.parametrize("kind", FAMILY)
def test_ratios_out_of_all_bounds_stay_finite(gap, kind):
    logprobs = torch.tensor([[gap / 2, -1.0]] * 2).requires_grad_()
    old = torch.tensor([[-gap / 2, -1.0]] * 2)
    batch = token_batch(
        torch.ones(2, 2), advantages=torch.tensor([[1.0] * 2, [-1.0] * 2]), old_logprobs=old, reference_logprobs=old
    )
    counts = {"tokens": 4.0, "sequences": 2.0, "max_tokens": 4.0}
    loss, found = gradient(GrpoLoss(Grpo(loss=kind, beta=0.1)), batch, counts, logprobs=logprobs)
    assert torch.isfinite(loss)
    assert torch.isfinite(found).all()


def test_a_sequence_ratio_is_the_geometric_mean_of_its_tokens():
    logprobs, old = torch.tensor(LOGPROBS).double(), torch.zeros(2, 4).double()
    mask = torch.tensor(MASK).bool()
    found = losses.sequence_ratio(logprobs, old, mask)
    exact(found[0], logprobs[0, :3].exp().prod().pow(1 / 3).expand(4))
    exact(found[1], logprobs[1][mask[1]].exp().prod().pow(1 / 3).expand(4))


def test_importance_weighs_the_policy_and_not_the_kl():
    reference = torch.tensor(LOGPROBS, dtype=torch.float64) - 0.5
    common = {"advantages": ADVANTAGES, "old_logprobs": reference + 0.4, "reference_logprobs": reference}
    objective = GrpoLoss(Grpo(beta=0.1))

    def loss(**fields):
        return gradient(objective, token_batch(MASK, **common, **fields), COUNTS, logprobs=float64(LOGPROBS))[0]

    none, half, full = (loss(importance=torch.full((2, 4), one).double()) for one in (0.0, 0.5, 1.0))
    exact(full, loss())
    exact(half, (none + full) / 2)
    exact(none, 0.1 * (torch.tensor(-0.5).double().exp() + 0.5 - 1))


@pytest.mark.parametrize("kind", ["k2", "k3", "abs"])
def test_estimates_of_kl_are_zero_where_policies_agree_and_else_positive(kind):
    logprobs = torch.linspace(-4, 0, 9, dtype=torch.float64)
    exact(losses.kl(logprobs, logprobs, kind), torch.zeros(9))
    assert (losses.kl(logprobs, logprobs.flip(0) - 1e-3, kind) > 0).all()


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_k1_and_k3_are_unbiased(kind):
    policy, reference = (torch.randn(50, generator=torch.Generator().manual_seed(i)).double() for i in (1, 2))
    policy, reference = policy.log_softmax(0), reference.log_softmax(0)
    expected = (policy.exp() * (policy - reference)).sum()
    exact((policy.exp() * losses.kl(policy, reference, kind)).sum(), expected)


def test_k3_keeps_its_digits_near_zero():
    gap = torch.tensor([1e-4])  # float32: e^x - 1 - x loses all of them
    torch.testing.assert_close(losses.kl(gap, torch.zeros(1), "k3"), torch.tensor([5e-9]), rtol=0.05, atol=0.0)
