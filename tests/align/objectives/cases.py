"""One batch that every objective can read, and all objectives in their variants."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from align.batch import Example, TokenBatch, TokenSequence
from align.objectives import (
    DistillationLoss,
    GrpoLoss,
    KtoLoss,
    PpoLoss,
    PreferenceLoss,
    ReinforceLoss,
    RewardModelLoss,
    SftLoss,
    SteerLmLoss,
    ValueLoss,
)
from align.policy import Loss, Outputs
from align.sections import Distillation, Dpo, DpoLoss, Grpo, Kto, Ppo, Reinforce, RewardModel
from tests.align.batches import token_batch

N, T, K, ATTRIBUTES = 8, 6, 5, 3  # sequences of pairs or of prompts with two completions, tokens, candidates

OBJECTIVES: dict[str, Loss] = {
    "sft": SftLoss(),
    "steerlm": SteerLmLoss(),
    "kto": KtoLoss(Kto(beta=0.3, desirable=1.5)),
    "ppo": PpoLoss(Ppo(entropy=0.01, dual_clip=1.5)),
    "value": ValueLoss(Ppo()),
    "value unclipped": ValueLoss(Ppo(value_clip=0.0)),
    "reinforce": ReinforceLoss(Reinforce()),
    "distillation": DistillationLoss(Distillation(sft_weight=0.5)),
    "distillation jsd": DistillationLoss(Distillation(divergence="jsd", temperature=0.7)),
    "distillation backward": DistillationLoss(Distillation(divergence="backward")),
}
SMOOTHING = {"cdpo": 0.1, "robust": 0.1}
OBJECTIVES |= {
    kind: PreferenceLoss(Dpo(loss=kind, label_smoothing=SMOOTHING.get(kind, 0.0), sft_weight=0.2))
    for kind in get_args(DpoLoss)
}
OBJECTIVES |= {
    kind: GrpoLoss(Grpo(loss=kind, beta=0.04)) for kind in ("grpo", "bnpo", "dapo", "dr_grpo", "gspo", "cispo")
}
OBJECTIVES |= {
    f"reward {kind}": RewardModelLoss(RewardModel(loss=kind, center=0.01))
    for kind in ("bradley_terry", "margin", "scaled", "regression")
}


def examples() -> list[Example]:
    """Return the examples of `batch`, for their counts."""
    mask, attributes = batch().mask.numpy(), batch().fields["attributes"].numpy()
    sequences = [TokenSequence(np.zeros(T + 1, np.int64), np.append(False, row)) for row in mask]
    return [
        Example(str(i), (sequences[2 * i], sequences[2 * i + 1]), {"attributes": attributes[2 * i : 2 * i + 2]})
        for i in range(N // 2)
    ]


def batch() -> TokenBatch:
    """Return a batch with all fields, float64."""
    draw = torch.Generator().manual_seed(5)
    mask = torch.rand(N, T, generator=draw) < 0.7
    mask[:, 0] = True
    mask[5] = False  # a completion from which nothing is learnt

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    attributes = normal(N, ATTRIBUTES)
    attributes[[0, 3, 3], [1, 0, 2]] = torch.nan
    wanted = torch.rand(N // 2, 2, generator=draw, dtype=torch.float64) + 0.1
    wanted = wanted / wanted.sum(1, keepdim=True)
    return token_batch(
        mask,
        torch.arange(N) // 2,
        reference_logprobs=-normal(N, T).abs(),
        old_logprobs=-normal(N, T).abs(),
        advantages=normal(N, T),
        importance=normal(N, T).exp().clamp(max=2.0),
        returns=normal(N, T),
        old_values=normal(N, T),
        margin=normal(N).abs(),
        chosen_reward=normal(N),
        rejected_reward=normal(N),
        desirable=torch.arange(N) % 2,
        kl_baseline=torch.full((N,), 0.2, dtype=torch.float64),
        attributes=attributes,
        weights=wanted.reshape(N),
        candidates=torch.arange(K).expand(N, T, K),
        teacher_logprobs=normal(N, T, K).log_softmax(-1),
    )


def outputs(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Return what a model might give, as leaves."""
    draw = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype)

    found = {
        "logprobs": -normal(N, T).abs(), "entropy": normal(N, T).abs(), "values": normal(N, T),
        "candidates": normal(N, T, K).log_softmax(-1), "scores": normal(N, ATTRIBUTES),
    }  # fmt: skip
    return {name: value.requires_grad_() for name, value in found.items()}


def evaluate(loss: Loss, given: dict[str, Tensor], of: TokenBatch, counts: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Return an objective's loss and its gradient for all it needs."""
    needed = {name: given[name] for name in sorted(loss.needs)}
    value, _ = loss(Outputs(**needed), of, counts)
    found = torch.autograd.grad(value, list(needed.values()))
    return value.detach(), dict(zip(needed, found))


def rows(of: TokenBatch, which: Sequence[int] | Tensor) -> TokenBatch:
    """Return the batch of these sequences."""
    index = torch.as_tensor(which)
    names = ("tokens", "positions", "lengths", "labels", "mask", "example")
    kept = {name: getattr(of, name)[index] for name in names}
    fields = {name: value[index] for name, value in of.fields.items()}
    return dataclasses.replace(of, starts=of.starts[: len(index)], fields=fields, **kept)
