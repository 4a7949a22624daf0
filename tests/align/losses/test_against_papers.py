"""What numpy gives for the papers' equations: oracles/paper_values.py."""

import dataclasses

import pytest
import torch

from align import losses
from align.losses import reduce
from align.objectives import PreferenceLoss
from align.sections import Dpo
from tests.align.batches import exact, float64, gradient, token_batch
from tests.align.oracles.inputs import read

PAPER = read("paper.json")
PAIRS, POLICY = PAPER["pair_inputs"], PAPER["policy_inputs"]
BESIDE = [0, 4, 1, 5, 2, 6, 3, 7]
GRADIENT = 1e-7  # of central differences


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


PREFERENCES = {
    "cdpo": Dpo(loss="cdpo", label_smoothing=0.15), "rpo_sq": Dpo(loss="rpo_sq", reward_scale=0.7),
    "rpo_fwd_kl": Dpo(loss="rpo_fwd_kl", reward_scale=0.7), "rpo_bwd_kl": Dpo(loss="rpo_bwd_kl", reward_scale=0.7),
    "ipo": Dpo(loss="ipo", average=False), "orpo": Dpo(loss="orpo"), "dpo_sft": Dpo(sft_weight=0.4),
}  # fmt: skip


@pytest.mark.parametrize("kind", PREFERENCES)
def test_preferences(kind):
    given = PAPER["preferences"]
    rewards = {name: tensor(given[name]).repeat_interleave(2) for name in ("chosen_reward", "rejected_reward")}
    reference = tensor(PAIRS["reference_logprobs"])[BESIDE]
    mask = torch.tensor(PAIRS["mask"])[BESIDE]
    batch = token_batch(mask, [0, 0, 1, 1, 2, 2, 3, 3], reference_logprobs=reference, **rewards)
    settings = dataclasses.replace(PREFERENCES[kind], beta=given["beta"])
    logprobs = float64([PAIRS["logprobs"][row] for row in BESIDE])
    loss, found = gradient(PreferenceLoss(settings), batch, {"pairs": 4.0}, logprobs=logprobs)
    exact(loss, tensor(given[kind]["losses"]).mean())
    exact(found, tensor(given[kind]["gradient"])[BESIDE], rtol=GRADIENT, atol=1e-9)


@pytest.mark.parametrize("case", ["above", "below"])
def test_kto_and_its_reference_point(case):
    given = PAPER["kto"]
    point = losses.kto_baseline(tensor(given["cases"][case]["mismatched"]))
    exact(point, given["cases"][case]["point"])
    good = torch.tensor(given["desirable"]).bool()
    found = losses.kto(tensor(given["log_ratio"]), good, point, given["beta"], tuple(given["weights"]))
    exact(found, given["cases"][case]["losses"])


def test_reward_models_of_pairs():
    given = PAPER["reward_models"]
    chosen, rejected, margin = (tensor(given[name]) for name in ("chosen", "rejected", "margin"))
    exact(losses.bradley_terry(chosen, rejected), given["bradley_terry"])
    exact(losses.bradley_terry_margin(chosen, rejected, margin), given["margin_losses"])
    exact(losses.bradley_terry_scaled(chosen, rejected, margin), given["scaled_losses"])
    exact(losses.centring(chosen, rejected), given["centring"])


def test_regression_skips_what_is_not_rated():
    given = PAPER["reward_models"]
    found = losses.regression(tensor(given["scores"]), tensor(given["attributes"]))
    exact(found.sum() / given["rated"], given["regression"])


@pytest.mark.parametrize("given", PAPER["ppo"], ids=["clip", "higher clip, dual clip"])
def test_ppo(given):
    logprobs, mask = float64(POLICY["logprobs"]), torch.tensor(POLICY["mask"])
    ratio = losses.token_ratio(logprobs, tensor(POLICY["old_logprobs"]))
    advantages = tensor(POLICY["advantages"])[:, None].expand_as(ratio)
    terms = losses.clipped(ratio, advantages, given["low"], given["high"], given["dual"])
    exact(reduce.keep(terms, mask), given["losses"])
    (found,) = torch.autograd.grad(reduce.by_tokens(terms, mask, {"tokens": 20.0}), [logprobs])
    exact(found, given["gradient"], rtol=GRADIENT, atol=1e-9)


def test_values_clipped():
    given = PAPER["critic"]
    values, returns, old = (tensor(given[name]) for name in ("values", "returns", "old_values"))
    exact(losses.value(values, returns, old, given["clip"]), given["losses"])
    exact(losses.value(values, returns, old), (values - returns) ** 2)


@pytest.mark.parametrize("kind", ["k1", "k2", "k3", "abs"])
def test_estimates_of_kl(kind):
    given = PAPER["kl"]
    logprobs, reference = tensor(given["logprobs"]), tensor(given["reference"])
    exact(losses.kl(logprobs, reference, kind), given["exact"][kind])
    exact(losses.kl(logprobs, reference, kind, *given["bounds"]), given["bounded"][kind])


def test_steerlm_2():
    given = PAPER["steerlm"]
    group = torch.tensor(given["group"])
    attributes, prior, proposal = (tensor(given[name]) for name in ("attributes", "prior", "proposal"))
    targets = losses.steerlm_targets(attributes, prior, proposal, group)
    exact(targets, given["targets"])
    policy = float64(given["policy"])
    terms = losses.steerlm(policy, proposal, targets, group)
    exact(torch.stack([terms[group == one].sum() for one in (0, 1)]), given["divergence"])
    (found,) = torch.autograd.grad(terms.sum(), [policy])
    exact(found, given["gradient"])


@pytest.mark.parametrize("divergence", ["forward", "backward", "jsd"])
def test_distillation_over_the_likeliest_tokens(divergence):
    given = PAPER["distillation"]
    student, teacher = tensor(given["student"]), tensor(given["teacher"])
    found = losses.distillation(student, teacher, divergence, given["mix"], given["temperature"])
    exact(found, given["losses"][divergence])
