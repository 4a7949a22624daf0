"""What is logged, on batches small enough to count by hand."""

import math

import pytest
import torch

from align.objectives import (
    DistillationLoss,
    GrpoLoss,
    KtoLoss,
    PpoLoss,
    PreferenceLoss,
    RewardModelLoss,
    SftLoss,
    ValueLoss,
)
from align.policy import Outputs
from align.sections import Distillation, Dpo, Grpo, Kto, Ppo, RewardModel
from tests.align.batches import token_batch

COUNTS = {"tokens": 4.0, "sequences": 4.0, "pairs": 3.0, "attributes": 4.0}
PAIRS = [0, 0, 1, 1, 2, 2]


def means(objective, batch, **outputs):
    """Return the means that a step would log."""
    given = {name: torch.tensor(value, dtype=torch.float64) for name, value in outputs.items()}
    metrics = objective(Outputs(**given), batch, COUNTS)[1]
    return {name: pytest.approx(float(total) / float(count), abs=1e-12) for name, (total, count) in metrics.items()}


def test_sft():
    assert means(SftLoss(), token_batch([[1, 0], [1, 1]]), logprobs=[[-1, -9], [-2, -6]]) == {"nll": 3.0}


def test_pairs():
    batch = token_batch(torch.ones(6, 2), PAIRS, reference_logprobs=torch.full((6, 2), -1.0).double())
    logprobs = [[0, 0], [-2, -2], [-3, -3], [-1, -1], [-1, 0], [-1, -1]]  # log-ratios 2, -2, -4, 0, 1, 0
    assert means(PreferenceLoss(Dpo(beta=0.5)), batch, logprobs=logprobs) == {
        "accuracy": 2 / 3, "chosen_reward": -1 / 6, "rejected_reward": -1 / 3, "reward_margin": 1 / 6,
        "chosen_logprob": -3.5 / 3, "rejected_logprob": -4 / 3,
    }  # fmt: skip


def test_scores_of_pairs():
    scores = [[3], [1], [2], [2.5], [1], [-2]]
    found = means(RewardModelLoss(RewardModel()), token_batch(torch.ones(6, 1), PAIRS), scores=scores)
    assert found == {"accuracy": 2 / 3, "chosen_reward": 2.0, "rejected_reward": 0.5, "reward_margin": 1.5}


def test_scores_of_attributes():
    batch = token_batch(torch.ones(2, 1), attributes=torch.tensor([[4, torch.nan, 1], [2, torch.nan, 0]]).double())
    found = means(RewardModelLoss(RewardModel(loss="regression")), batch, scores=[[3, 99, 1], [4, 99, 1]])
    assert found == {"error": 1.0, "score": 2.25}


def test_kto():
    fields = {"desirable": torch.tensor([1, 1, 0, 0]), "kl_baseline": torch.full((4,), 0.5).double()}
    batch = token_batch(torch.ones(4, 1), reference_logprobs=torch.full((4, 1), -2.0).double(), **fields)
    found = means(KtoLoss(Kto(beta=0.5)), batch, logprobs=[[-1], [-1.6], [-4], [-4.5]])  # log-ratios 1, .4, -2, -2.5
    assert found == {"desirable_reward": 0.35, "undesirable_reward": -1.125, "accuracy": 0.75, "kl_baseline": 0.5}


def test_ratios():
    logprobs = torch.tensor([[2.0, 0.5, 0.5, 1.0]]).double().log()
    fields = {"advantages": torch.tensor([[1.0, 1.0, -1.0, 2.0]]).double(), "old_logprobs": torch.zeros(1, 4).double()}
    objective = PpoLoss(Ppo(entropy=0.1))
    found = means(
        objective, token_batch(torch.ones(1, 4), **fields), logprobs=logprobs.tolist(), entropy=[[1, 2, 3, 4]]
    )
    assert found == {
        "ratio": 1.0, "ratio_error": 1.75, "clip_fraction": 0.5, "clip_fraction_low": 0.25, "clip_fraction_high": 0.25,
        "old_kl": (0.5 - 1 + math.log(2) + 2 * (2 - 1 - math.log(2))) / 4, "advantage": 0.75, "importance": 1.0,
        "entropy": 2.5,
    }  # fmt: skip


def test_errors_of_ratios_are_those_of_tokens_also_where_sequences_are_clipped():
    fields = {"advantages": torch.ones(1, 2).double(), "old_logprobs": torch.zeros(1, 2).double()}
    logprobs = [[math.log(2), -math.log(2)]]  # of the sequence: 1
    found = means(GrpoLoss(Grpo(loss="gspo")), token_batch(torch.ones(1, 2), **fields), logprobs=logprobs)
    assert found["ratio"] == 1.0
    assert found["ratio_error"] == 2.0


@pytest.mark.parametrize(("clip", "share"), [(0.2, 1 / 3), (0.0, 0.0)])
def test_values(clip, share):
    fields = {"returns": torch.tensor([[1.0, 2.0, 0.0]]), "old_values": torch.tensor([[0.1, 0.5, 0.9]])}
    fields = {name: value.double() for name, value in fields.items()}
    found = means(ValueLoss(Ppo(value_clip=clip)), token_batch(torch.ones(1, 3), **fields), values=[[0, 4, 1]])
    assert found == {"value": 5 / 3, "return": 1.0, "value_error": 2.0, "value_clip_fraction": share}


def test_distillation():
    teacher = torch.tensor([[[0.8, 0.2], [0.4, 0.6], [0.9, 0.1]]]).double().log()
    batch = token_batch([[1, 1, 1]], teacher_logprobs=teacher)
    found = means(DistillationLoss(Distillation()), batch, candidates=[[[1.0, 0.0], [3.0, 0.0], [0.2, 0.1]]])
    assert found["agreement"] == 2 / 3
