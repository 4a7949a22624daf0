"""Losses as pure functions of tensors: one number for each token (n, t), sequence (n,) or pair (p,).

They keep the precision of their inputs, and know no model. `reduce` makes the loss of a batch of them.
"""

from align.losses.distillation import distillation
from align.losses.policy_gradient import (
    cispo,
    clipped,
    clipped_sides,
    kl,
    reinforce,
    sequence_ratio,
    token_ratio,
    value,
)
from align.losses.preference import (
    cdpo,
    dpo,
    hinge,
    ipo,
    kto,
    kto_baseline,
    orpo,
    robust,
    rpo_bwd_kl,
    rpo_fwd_kl,
    rpo_sq,
    simpo,
)
from align.losses.reward_model import (
    bradley_terry,
    bradley_terry_margin,
    bradley_terry_scaled,
    centring,
    regression,
)
from align.losses.steerlm import group_log_softmax, steerlm, steerlm_targets

__all__ = [
    "bradley_terry", "bradley_terry_margin", "bradley_terry_scaled", "cdpo", "centring", "cispo", "clipped",
    "clipped_sides", "distillation", "dpo", "group_log_softmax", "hinge", "ipo", "kl", "kto", "kto_baseline", "orpo",
    "regression", "reinforce", "robust", "rpo_bwd_kl", "rpo_fwd_kl", "rpo_sq", "sequence_ratio", "simpo", "steerlm",
    "steerlm_targets", "token_ratio", "value",
]  # fmt: skip
