"""What TRL 1.16 gave for the same inputs in float64, loss and gradient: oracles/trl_values.py."""

import pytest
import torch

from align.losses import kto_baseline
from align.objectives import DistillationLoss, GrpoLoss, KtoLoss, PreferenceLoss, ReinforceLoss, RewardModelLoss
from align.sections import Distillation, Dpo, Grpo, Kto, Reinforce, RewardModel
from tests.align.batches import exact, float64, gradient, token_batch
from tests.align.oracles.inputs import read

TRL = read("trl.json")
POLICY, PAIRS = TRL["policy_inputs"], TRL["pair_inputs"]
BESIDE = [0, 4, 1, 5, 2, 6, 3, 7]  # TRL stacks chosen on rejected sequences; here they stand side by side
COUNTS = {"tokens": 20.0, "sequences": 4.0, "max_tokens": 40.0}
GRPO = {
    "grpo": Grpo(loss="grpo"),
    "grpo_kl": Grpo(loss="grpo", beta=0.04),
    "grpo_dual_clip": Grpo(loss="grpo", dual_clip=1.5),
    "bnpo": Grpo(loss="bnpo"),
    "dapo": Grpo(loss="dapo", clip_high=0.28),
    "dapo_importance": Grpo(loss="dapo", beta=0.04),
    "dr_grpo": Grpo(loss="dr_grpo"),
    "gspo": Grpo(loss="gspo", clip_low=0.05, clip_high=0.03),
    "cispo": Grpo(loss="cispo", clip_high=0.4),  # TRL's bound is the ratio's: 1 + clip_high
}
DPO = {
    "sigmoid": Dpo(),
    "sigmoid_norm": Dpo(average=True),
    "hinge": Dpo(loss="hinge", beta=0.5),
    "ipo": Dpo(loss="ipo", beta=0.3),
    "robust": Dpo(loss="robust", label_smoothing=0.1),
}


def completions(*names):
    """Return the batch of policy_inputs with these fields."""
    mask = torch.tensor(POLICY["mask"])
    advantages = torch.tensor(POLICY["advantages"], dtype=torch.float64)[:, None].expand(mask.shape)
    fields = {name: torch.tensor(POLICY[name], dtype=torch.float64) for name in names}
    return token_batch(mask, advantages=advantages, **fields)


@pytest.mark.parametrize("case", GRPO)
def test_the_grpo_family(case):
    assert set(GRPO) == set(TRL["policy"])
    importance = ("importance",) if case == "dapo_importance" else ()
    batch = completions("old_logprobs", "reference_logprobs", *importance)
    loss, found = gradient(GrpoLoss(GRPO[case]), batch, COUNTS, logprobs=float64(POLICY["logprobs"]))
    exact(loss, TRL["policy"][case]["loss"])
    exact(found, TRL["policy"][case]["gradient"])


def test_reinforce_has_the_gradient_of_rloo_where_the_policy_is_the_one_that_drew():
    batch = completions("old_logprobs")
    _, found = gradient(ReinforceLoss(Reinforce()), batch, COUNTS, logprobs=float64(POLICY["logprobs"]))
    exact(found, TRL["rloo"]["gradient"])


def pairs(**fields):
    """Return the batch of pair_inputs, sides beside each other, and its log-probabilities."""
    reference = torch.tensor(PAIRS["reference_logprobs"], dtype=torch.float64)[BESIDE]
    batch = token_batch(torch.tensor(PAIRS["mask"])[BESIDE], [0, 0, 1, 1, 2, 2, 3, 3], reference_logprobs=reference)
    return batch, float64([PAIRS["logprobs"][row] for row in BESIDE])


@pytest.mark.parametrize("case", DPO)
def test_the_dpo_family(case):
    assert set(DPO) == set(TRL["pairs"])
    batch, logprobs = pairs()
    loss, found = gradient(PreferenceLoss(DPO[case]), batch, {"pairs": 4.0}, logprobs=logprobs)
    exact(loss, TRL["pairs"][case]["loss"])
    exact(found, torch.tensor(TRL["pairs"][case]["gradient"], dtype=torch.float64)[BESIDE])


def test_kto():
    given = TRL["kto"]
    z = kto_baseline(torch.tensor(given["mismatched"], dtype=torch.float64)).expand(8)
    desirable = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0])
    reference = torch.tensor(PAIRS["reference_logprobs"], dtype=torch.float64)
    batch = token_batch(PAIRS["mask"], reference_logprobs=reference, desirable=desirable, kl_baseline=z)
    objective = KtoLoss(Kto(beta=0.3, desirable=1.2, undesirable=0.7))
    loss, found = gradient(objective, batch, {"sequences": 8.0}, logprobs=float64(PAIRS["logprobs"]))
    exact(loss, given["loss"])
    exact(found, given["gradient"])


def whole_sequences():
    """Return a batch of one token a sequence: TRL's functions take averages, which one token is its own of."""
    logprobs, mask = torch.tensor(PAIRS["logprobs"], dtype=torch.float64), torch.tensor(PAIRS["mask"])
    means = (logprobs * mask).sum(1) / mask.sum(1)
    batch = token_batch(torch.ones(8, 1), [0, 0, 1, 1, 2, 2, 3, 3])
    return batch, means[BESIDE][:, None].requires_grad_()


def test_simpo():
    batch, logprobs = whole_sequences()
    settings = Dpo(loss="simpo", beta=2.0, gamma=0.5)
    loss, found = gradient(PreferenceLoss(settings), batch, {"pairs": 4.0}, logprobs=logprobs)
    exact(loss, TRL["simpo"]["loss"])
    exact(found[:, 0], torch.tensor(TRL["simpo"]["gradient"], dtype=torch.float64).T.reshape(8))


def test_orpo_up_to_the_float32_of_trl():
    batch, logprobs = whole_sequences()
    loss, _ = gradient(PreferenceLoss(Dpo(loss="orpo")), batch, {"pairs": 4.0}, logprobs=logprobs)
    odds = torch.tensor(TRL["orpo"]["losses"], dtype=torch.float64).mean()
    exact(loss, -logprobs[0::2].mean() - odds, rtol=1e-6)


@pytest.mark.parametrize("case", ["reward_model", "reward_model_margin"])
def test_reward_models(case):
    given = TRL[case]
    margin = torch.tensor(given["margin"], dtype=torch.float64).repeat_interleave(2)
    settings = RewardModel(loss="margin", center=0.01) if case.endswith("margin") else RewardModel()
    batch = token_batch(torch.ones(8, 1), [0, 0, 1, 1, 2, 2, 3, 3], margin=margin)
    scores = float64([given["scores"][row] for row in BESIDE])
    loss, found = gradient(RewardModelLoss(settings), batch, {"pairs": 4.0}, scores=scores)
    exact(loss, given["loss"])
    exact(found, torch.tensor(given["gradient"], dtype=torch.float64)[BESIDE])


@pytest.mark.parametrize("given", TRL["distillation"], ids=lambda given: f"mix {given['mix']} T {given['temperature']}")
def test_distillation(given):
    settings = Distillation(divergence="jsd", mix=given["mix"], temperature=given["temperature"])
    teacher = torch.tensor([given["teacher"]], dtype=torch.float64)
    batch = token_batch(torch.ones(1, 3), teacher_logprobs=teacher)
    loss, found = gradient(DistillationLoss(settings), batch, {"tokens": 1.0}, candidates=float64([given["student"]]))
    exact(loss, given["loss"])
    exact(found[0], given["gradient"])
    if given["mix"] in (0, 1):
        named = Distillation(divergence="backward" if given["mix"] else "forward", temperature=given["temperature"])
        again, _ = gradient(DistillationLoss(named), batch, {"tokens": 1.0}, candidates=float64([given["student"]]))
        assert again == loss
