"""What each of several real ranks does in `test_hf_ranks`: the same training, saves and exports, case by case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import save_file

from align.backends.hf.policy import HuggingFacePolicy
from align.config import Peft
from align.errors import ModelError
from align.layout import empty, packed, padded
from pretrain.errors import CheckpointError
from tests.align.backends import tiny

LENGTHS = [[5, 9, 4], [12, 3], [7, 6, 8], [10]]  # of the sequences of four micro-batches


def loss_of(head: str) -> Any:
    return tiny.CrossEntropy() if head == "lm" else tiny.Squares({"value": "values", "reward": "scores"}[head])


def opened(case: dict[str, Any]) -> HuggingFacePolicy:
    changes = {**case.get("settings", {})}
    if case.get("peft"):
        changes["peft"] = Peft(**case["peft"])
    if changes.get("ranks"):
        changes["ranks"] = tuple(changes["ranks"])
    return HuggingFacePolicy(tiny.settings(case["folder"], **changes))


def steps(policy: HuggingFacePolicy, case: dict[str, Any], count: int, seed: int = 0) -> list[list[float]]:
    """Take steps on four micro-batches, of which this rank has every `data_ranks`-th; fillers where they run out."""
    told = []
    for step in range(count):
        made = [tiny.examples(lengths, seed=10 * (seed + step) + number) for number, lengths in enumerate(LENGTHS)]
        counts = tiny.counts([one for each in made for one in each])
        lay = padded if case.get("peft", {}).get("kind") == "p_tuning" else lambda each: packed(each, 16)
        mine = [lay(each) for each in made[: case.get("micro_batches", 4)][policy.data_rank :: policy.data_ranks]]
        while len(mine) * policy.data_ranks < case.get("micro_batches", 4):
            mine.append(empty())
        result = policy.train_step(mine, loss_of(policy.head), counts)
        told.append([result.loss, result.grad_norm, result.lr, *(result.metrics[k] for k in sorted(result.metrics))])
    return told


def weights(policy: HuggingFacePolicy) -> dict[str, torch.Tensor]:
    """Return what was trained, whole, on the CPU."""
    from align.backends.hf.ranks import whole

    assert policy.trainer is not None
    return {name: whole(p).float().cpu().clone() for name, p in policy.trainer.parameters.items()}


def train(cases: list[dict[str, Any]], folder: str) -> list[Any]:
    """Return what three steps of each case told; write weights, and where asked for a state and an export."""
    told = []
    for number, case in enumerate(cases):
        policy = opened(case)
        heard = steps(policy, case, 3)
        if policy.head == "lm":
            few = [padded(tiny.examples([4 + number])) for number in range(1 + 2 * policy.data_rank)]
            assert len(policy.logprobs(few)) == len(few)  # ranks may have different numbers
        now = weights(policy)
        place = Path(folder, f"{number}")
        if policy.ranks.rank == 0:
            save_file({name: value.contiguous() for name, value in now.items()}, f"{place}.safetensors")
        if case.get("resume"):
            _resumes(policy, case, str(place))
        if case.get("export"):
            policy.export(str(place) + "-export")
        told.append(heard)
    return told


def _resumes(policy: HuggingFacePolicy, case: dict[str, Any], folder: str) -> None:
    """Go on by two steps, unbroken and from a save, and find the same bits."""
    policy.save(folder)
    policy.offload()
    policy.onload()
    if policy.adapters is not None:
        batch = padded(tiny.examples([5, 9]))
        with policy.reference():
            off = policy.logprobs([batch])[0].logprobs
        frozen = opened({**case, "peft": None, "settings": {"optimizer": None}})
        was = frozen.logprobs([batch])[0].logprobs
        assert off is not None
        assert was is not None
        torch.testing.assert_close(off, was, rtol=0, atol=1e-5)
    unbroken = steps(policy, case, 2, seed=3)
    other = opened(case)
    other.load(folder)
    assert other.version == 3
    assert steps(other, case, 2, seed=3) == unbroken
    first, second = weights(policy), weights(other)
    assert all(torch.equal(first[name], second[name]) for name in first)


def both(cases: list[dict[str, Any]], folder: str) -> list[Any]:
    """Train in every case; then open a policy a rank."""
    return [train(cases, folder), groups(cases[0]["folder"], str(Path(folder, "0")))]


def groups(folder: str, saved: str) -> list[Any]:
    """Open a policy on each rank alone, and refuse what was saved on two; return log-probabilities' sum."""
    with pytest.raises(ModelError, match="does not exist"):  # on all, though one reads the weights
        opened({"folder": "nowhere"})
    Path(saved, "config.json").write_bytes(Path(folder, "config.json").read_bytes())
    dist.barrier()
    with pytest.raises(ModelError, match="safetensors"):
        opened({"folder": saved})
    case = {"folder": folder, "settings": {"ranks": (dist.get_rank(),)}}
    policy = opened(case)
    made = policy.logprobs([padded(tiny.examples([5, 9]))])[0].logprobs
    assert made is not None
    assert (policy.data_rank, policy.data_ranks) == (0, 1)
    with pytest.raises(CheckpointError) as caught:
        policy.load(saved)
    return [made.sum().item(), str(caught.value)]
