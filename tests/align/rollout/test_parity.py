from __future__ import annotations

import math

import pytest
import torch

from align.errors import RolloutError
from align.rollout.generator import Sampling
from align.rollout.parity import compare, gate
from align.rollout.transformers import TransformersGenerator
from tests.align.rollout.tiny import forward_logprobs, llama, requests

MASK = torch.tensor([[True, True, False], [True, False, False]])
GENERATED = torch.tensor([[-1.0, -2.0, 7.0], [-0.5, 0.0, float("nan")]])


def test_numbers_against_a_hand_made_example():
    trainer = torch.tensor([[-1.1, -1.7, -9.0], [-0.5, 3.0, 3.0]])
    parity = compare(trainer, GENERATED, MASK, 5, [5, 4])
    assert parity.tokens == 3
    assert parity.ratio_error == pytest.approx((math.exp(0.1) + math.exp(0.3) + 1) / 3)
    assert parity.ratio_max == pytest.approx(math.exp(0.3))
    assert parity.kl == pytest.approx((0.1 - 0.3 + 0) / 3)
    assert (parity.worst, parity.lag) == (0, 0.5)
    assert parity.worst_ratio_error == pytest.approx((math.exp(0.1) + math.exp(0.3)) / 2)
    assert set(parity.facts()) == {"ratio_error", "ratio_error_max", "rollout_kl", "rollout_lag"}


def test_equal_logprobs_are_at_one_and_pass():
    parity = gate(compare(GENERATED, GENERATED, MASK, 2, [2, 2]), 1.0, 2, [2, 2])
    assert (parity.ratio_error, parity.kl) == (1.0, 0.0)
    nothing = compare(GENERATED, GENERATED, torch.zeros_like(MASK), 2, [2, 2])
    assert (nothing.ratio_error, nothing.tokens) == (1.0, 0)


def test_disagreement_at_equal_versions_ends_the_run_and_at_others_does_not():
    parity = compare(GENERATED - 0.1, GENERATED, MASK, 3, [3, 3])
    with pytest.raises(
        RolloutError, match=r"\(version 3\).* is 1\.105, over rollouts\.max_ratio_error 1\.05 \(3 tokens"
    ):
        gate(parity, 1.05, 3, [3, 3])
    assert gate(parity, 1.05, 3, [2, 2]) is parity
    assert gate(parity, 1.2, 3, [3, 3]) is parity


@pytest.mark.parametrize("broken", [float("nan"), float("-inf"), float("inf")])
def test_what_is_no_number_never_passes(broken):
    trainer = GENERATED.clone()
    trainer[1, 0] = broken
    parity = compare(trainer, GENERATED, MASK, 0, [0, 0])
    assert parity.worst == 1
    with pytest.raises(RolloutError, match="furthest off is completion 1"):
        gate(parity, 1e6, 0, [0, 0])


def test_the_gate_trips_on_weights_that_were_changed():
    asked, sampling = requests(6), Sampling(max_tokens=30)
    drawn = TransformersGenerator(llama()).generate(asked, sampling)
    mask = torch.ones(6, 30, dtype=torch.bool)
    generated = torch.stack([torch.from_numpy(one.logprobs) for one in drawn])

    def against(model):
        rows = [torch.from_numpy(forward_logprobs(model, request, one)) for request, one in zip(asked, drawn)]
        return compare(torch.stack(rows), generated, mask, 0, [0] * 6)

    assert gate(against(llama()), 1.0001, 0, [0] * 6).ratio_error == pytest.approx(1, abs=1e-5)
    other = llama()
    with torch.no_grad():
        other.lm_head.weight.mul_(1.2)
    with pytest.raises(RolloutError, match="generator and trainer disagree at the same weights"):
        gate(against(other), 1.05, 0, [0] * 6)
