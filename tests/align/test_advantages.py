import pytest
import torch

from align import advantages
from align.errors import AlignSettingsError, RewardError
from tests.align.batches import exact
from tests.align.oracles.inputs import read

PAPER, TRL = read("paper.json"), read("trl.json")


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("name", PAPER["groups"]["advantages"])
def test_group_advantages_against_numpy(name):
    given = PAPER["groups"]
    baseline, scale = name.split()
    found = advantages.group_advantages(tensor(given["rewards"]), torch.tensor(given["group"]), baseline, scale)
    exact(found, given["advantages"][name], atol=1e-12)  # numpy's mean of 0.1, four times, misses it by a rounding


@pytest.mark.parametrize("baseline", ["mean", "leave_one_out"])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reward", [0.1, 1 / 3, -7e5])
def test_equal_rewards_give_exactly_nothing(baseline, scale, dtype, reward):
    rewards = torch.tensor([reward] * 7 + [0.5, 0.7], dtype=dtype)
    found = advantages.group_advantages(rewards, torch.tensor([4] * 7 + [2] * 2), baseline, scale)
    assert (found[:7] == 0).all()
    assert (found[7:] != 0).all()
    assert found.dtype == dtype


def test_leave_one_out_is_the_mean_baseline_but_for_a_factor():
    rewards, group = tensor([0.0, 1.0, 5.0, 2.0]), torch.zeros(4, dtype=torch.int64)
    mean = advantages.group_advantages(rewards, group, "mean", "none")
    exact(advantages.group_advantages(rewards, group, "leave_one_out", "none"), mean * 4 / 3)


def test_a_single_completion_has_no_others_to_be_compared_with():
    group = torch.tensor([0, 0, 1])
    with pytest.raises(AlignSettingsError, match="at least 2 completions a prompt"):
        advantages.group_advantages(torch.ones(3), group, "leave_one_out")
    assert advantages.group_advantages(torch.tensor([0.0, 1.0, 3.0]), group)[2] == 0
    assert advantages.group_advantages(torch.tensor([0.3]), group[:1], scale="batch") == 0


def test_rewards_that_are_no_numbers_are_refused():
    with pytest.raises(RewardError, match=r"reward 1 is nan"):
        advantages.group_advantages(torch.tensor([0.0, torch.nan]), torch.zeros(2, dtype=torch.int64))


def test_prompts_whose_rewards_are_equal_are_not_informative():
    given = PAPER["groups"]
    found = advantages.informative(tensor(given["rewards"]), torch.tensor(given["group"]))
    assert found.tolist() == given["informative"]


def test_overlong_penalty():
    given = PAPER["overlong"]
    lengths = torch.tensor(given["lengths"])
    found = advantages.overlong_penalty(lengths, given["max_tokens"], given["overlong"])
    assert found.tolist() == given["penalty"]
    assert (advantages.overlong_penalty(lengths, given["max_tokens"], 0) == 0).all()


@pytest.mark.parametrize("given", TRL["gae"], ids=["1, 0.95", "0.9, 0.8"])
def test_gae_against_torchrl(given):
    values, rewards = tensor(given["values"]), tensor(given["rewards"])
    everywhere = torch.ones(values.shape, dtype=torch.bool)
    found, returns = advantages.gae(rewards, values, everywhere, given["gamma"], given["lam"])
    exact(found, given["advantages"])
    exact(returns, given["returns"])


@pytest.mark.parametrize("given", PAPER["gae"], ids=["1, 0.95", "0.9, 0.8"])
def test_gae_goes_past_tokens_that_are_no_actions(given):
    values, rewards, mask = tensor(given["values"]), tensor(given["rewards"]), torch.tensor(given["mask"])
    values[~mask] = torch.nan  # of a token that is no action nothing is read
    rewards[~mask] = torch.nan
    found, returns = advantages.gae(rewards, values, mask, given["gamma"], given["lam"])
    exact(found, given["advantages"])
    exact(returns, given["returns"])


def test_gae_without_discount_is_what_is_still_to_come():
    rewards, values = torch.rand(3, 5).double(), torch.rand(3, 5).double()
    everywhere = torch.ones(3, 5, dtype=torch.bool)
    _, returns = advantages.gae(rewards, values, everywhere, 1.0, 1.0)
    exact(returns, rewards.flip(1).cumsum(1).flip(1))


def test_token_rewards():
    given = PAPER["token_rewards"]
    rewards, kl, mask = tensor(given["rewards"]), tensor(given["kl"]), torch.tensor(given["mask"])
    exact(advantages.token_rewards(rewards, kl, mask, given["weight"]), given["token_rewards"])
    nothing = torch.zeros_like(mask)
    assert (advantages.token_rewards(rewards, kl, nothing, given["weight"]) == 0).all()


def test_whitening():
    given = PAPER["whitening"]
    values, mask = tensor(given["values"]), torch.tensor(given["mask"])
    exact(advantages.whiten(values, mask, advantages.moments(values, mask)), given["whitened"])


def test_whitening_by_moments_of_ranks_is_whitening_of_all():
    given = PAPER["whitening"]
    values, mask = tensor(given["values"]), torch.tensor(given["mask"])
    parts = [advantages.moments(values[rows], mask[rows]) for rows in (slice(0, 1), slice(1, 4))]
    exact(advantages.whiten(values[1:], mask[1:], sum(parts)), given["whitened"][1:])


def test_whitening_of_equal_numbers_or_of_none_stays_finite():
    values, mask = torch.full((2, 3), 0.3), torch.tensor([[True] * 3, [False] * 3])
    assert advantages.whiten(values, mask, advantages.moments(values, mask)).abs().max() < 1e-3
    none = torch.zeros_like(mask)
    assert (advantages.whiten(values, none, advantages.moments(values, none)) == 0).all()


def test_truncated_importance():
    given, policy = PAPER["importance"], PAPER["policy_inputs"]
    logprobs, generated = tensor(policy["old_logprobs"]), tensor(policy["logprobs"])
    mask = torch.tensor(policy["mask"])
    exact(advantages.truncated_importance(logprobs, generated, mask, given["maximum"]), given["weights"])
