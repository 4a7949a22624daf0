"""The schedule against Megatron's, steps against a bare torch loop, half precision."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from align.backends.hf.optimizer import Trainer, learning_rate
from align.errors import AlignSettingsError
from pretrain.config import Optimizer

SCHEDULES = [
    {"schedule": "cosine", "warmup_steps": 3},
    {"schedule": "cosine", "decay_steps": 9},
    {"schedule": "linear", "warmup_steps": 2, "decay_steps": 15},
    {"schedule": "wsd", "warmup_steps": 4, "decay_steps": 6},
    {"schedule": "wsd"},
    {"schedule": "constant", "warmup_steps": 5},
]
MEGATRON = """
import json, sys, warnings
warnings.simplefilter("ignore")
from types import SimpleNamespace
from pretrain.config import Optimizer
from pretrain.mcore.optimizer import scheduler
told = []
for given in json.loads(sys.argv[1]):
    config = SimpleNamespace(optimizer=Optimizer(lr=1e-2, min_lr=1e-3, **given), training=SimpleNamespace(steps=20))
    adam = SimpleNamespace(param_groups=[{"params": [1], "lr": 0.0}])
    made, rates = scheduler(config, adam), []
    for _ in range(24):
        made.step(1)
        rates.append(adam.param_groups[0]["lr"])
    told.append(rates)
print(json.dumps(told))
"""


def test_learning_rates_are_pretrains():
    out = subprocess.run(
        [sys.executable, "-c", MEGATRON, json.dumps(SCHEDULES)], capture_output=True, text=True, check=True
    )
    for given, expected in zip(SCHEDULES, json.loads(out.stdout.splitlines()[-1]), strict=True):
        settings = Optimizer(lr=1e-2, min_lr=1e-3, **given)
        assert [learning_rate(settings, 20, step) for step in range(1, 25)] == pytest.approx(expected, rel=1e-12), given


def test_a_warm_up_that_leaves_nothing_is_refused():
    with pytest.raises(AlignSettingsError, match=r"warmup_steps 9 leaves no room .* falls over 9 of 9 steps"):
        Trainer({"w": nn.Parameter(torch.ones(2, 2))}, Optimizer(warmup_steps=9), 9)


def test_steps_are_those_of_a_bare_loop():
    settings = Optimizer(lr=1e-2, min_lr=1e-3, weight_decay=0.3, clip=0.5, schedule="linear")
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    theirs = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    theirs.load_state_dict(ours.state_dict())
    trainer = Trainer(dict(ours.named_parameters()), settings, 10)
    matrices = [p for p in theirs.parameters() if p.dim() > 1]
    vectors = [p for p in theirs.parameters() if p.dim() == 1]
    adam = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.3}, {"params": vectors, "weight_decay": 0.0}], betas=(0.9, 0.95)
    )
    for step in range(1, 5):
        inputs = torch.randn(6, 4)
        trainer.zero()
        ours(inputs).square().sum().backward()
        trainer.gather()
        norm = trainer.squared_norm().sqrt().item()
        rate = trainer.apply(norm)
        adam.zero_grad()
        theirs(inputs).square().sum().backward()
        assert norm == pytest.approx(nn.utils.clip_grad_norm_(theirs.parameters(), 0.5).item(), rel=1e-6)
        for group in adam.param_groups:
            group["lr"] = 1e-2 + (1e-3 - 1e-2) * step / 10
        assert rate == pytest.approx(group["lr"], rel=1e-12)
        adam.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_half_precision_sums_gradients_and_steps_in_float32():
    weight = nn.Parameter(torch.full((1, 1), 1.0))
    trainer = Trainer(
        {"w": weight}, Optimizer(lr=1e-3, min_lr=0, weight_decay=0, schedule="constant", clip=0), 9, ["w"]
    )
    assert weight.dtype == torch.bfloat16
    for _ in range(3):  # 256 + 1 is 256 in bfloat16
        (weight * 256).sum().backward()
        weight.sum().backward()
    trainer.gather()
    assert trainer.squared_norm().sqrt().item() == 3 * 257
    for _ in range(2):  # one step of 0.001 would be lost in bfloat16's spacing of 1 / 256 below 1
        trainer.apply(1.0)
    assert trainer.masters["w"].item() == pytest.approx(0.998, abs=1e-5)
    assert weight.item() == torch.tensor(0.998).bfloat16().item()
