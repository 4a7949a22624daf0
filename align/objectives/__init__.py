"""Objectives: what each method minimises, as `align.policy.Loss` over fields of a batch, and their denominators."""

from align.objectives.counts import counts
from align.objectives.fields import FIELDS
from align.objectives.policy_gradient import GrpoLoss, PpoLoss, ReinforceLoss, ValueLoss
from align.objectives.preference import KtoLoss, PreferenceLoss, RewardModelLoss
from align.objectives.supervised import DistillationLoss, SftLoss, SteerLmLoss

__all__ = [
    "FIELDS", "DistillationLoss", "GrpoLoss", "KtoLoss", "PpoLoss", "PreferenceLoss", "ReinforceLoss",
    "RewardModelLoss", "SftLoss", "SteerLmLoss", "ValueLoss", "counts",
]  # fmt: skip
