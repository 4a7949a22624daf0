"""How the parts of a loss are weighed."""

import pytest
import torch

from align import losses
from align.losses import reduce
from align.objectives import DistillationLoss, GrpoLoss, PpoLoss, PreferenceLoss, ReinforceLoss, ValueLoss, counts
from align.policy import Outputs
from align.sections import Distillation, Dpo, Grpo, Ppo, Reinforce
from tests.align.batches import exact
from tests.align.objectives import cases

BATCH, GIVEN = cases.batch(), cases.outputs()
COUNTS = counts(cases.examples(), max_tokens=9)


def loss(objective, **fields):
    """Return an objective's loss of the batch, with other fields."""
    outputs = Outputs(**{name: GIVEN[name] for name in objective.needs})
    batch = cases.rows(BATCH, list(range(cases.N)))
    batch.fields.update(fields)
    return objective(outputs, batch, COUNTS)[0]


def test_the_entropy_is_a_bonus():
    bonus = reduce.by_tokens(GIVEN["entropy"], BATCH.mask, COUNTS)
    exact(loss(PpoLoss(Ppo(entropy=0.1))), loss(PpoLoss(Ppo())) - 0.1 * bonus)
    assert PpoLoss(Ppo()).needs == {"logprobs"}


@pytest.mark.parametrize(
    "objective",
    [PpoLoss(Ppo()), ReinforceLoss(Reinforce()), GrpoLoss(Grpo(loss="gspo")), GrpoLoss(Grpo(loss="cispo"))],
    ids=lambda objective: type(objective).__name__,
)
def test_importance_weighs_each_token(objective):
    importance = BATCH.fields["importance"]
    weighed, plain = loss(objective), loss(objective, importance=torch.ones_like(importance))
    exact(loss(objective, importance=1 - importance), plain - weighed)
    assert loss(objective, importance=torch.zeros_like(importance)) == 0
    assert weighed != plain


def test_ppo_clips_by_its_settings():
    fields = BATCH.fields
    ratio = losses.token_ratio(GIVEN["logprobs"], fields["old_logprobs"])
    terms = fields["importance"] * losses.clipped(ratio, fields["advantages"], 0.1, 0.3, 1.5)
    settings = Ppo(clip_low=0.1, clip_high=0.3, dual_clip=1.5)
    exact(loss(PpoLoss(settings)), reduce.by_tokens(terms, BATCH.mask, COUNTS))


@pytest.mark.parametrize("clip", [0.0, 0.2])
def test_the_critic_is_weighed(clip):
    terms = losses.value(GIVEN["values"], BATCH.fields["returns"], BATCH.fields["old_values"], clip)
    settings = Ppo(value_clip=clip, value_weight=0.4)
    exact(loss(ValueLoss(settings)), 0.4 * reduce.by_tokens(terms, BATCH.mask, COUNTS))


def test_distillation_adds_cross_entropy():
    divergence = reduce.by_tokens(
        losses.distillation(GIVEN["candidates"], BATCH.fields["teacher_logprobs"]), BATCH.mask, COUNTS
    )
    nll = -reduce.by_tokens(GIVEN["logprobs"], BATCH.mask, COUNTS)
    settings = Distillation(weight=2.0, sft_weight=0.5)
    exact(loss(DistillationLoss(settings)), 2 * divergence + 0.5 * nll)
    assert DistillationLoss(Distillation()).needs == {"candidates"}


def test_preferences_add_the_cross_entropy_of_the_chosen_side():
    nll = -reduce.sequence_mean(GIVEN["logprobs"], BATCH.mask)[0::2].mean()
    exact(loss(PreferenceLoss(Dpo(sft_weight=0.3))), loss(PreferenceLoss(Dpo())) + 0.3 * nll)
