"""Losses and gradients do not depend on how a model and a batch are spread over ranks."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from tests.pretrain.mcore import ranks

Curve = list[tuple[float, float]]  # (loss, gradient norm) of each step
TIED = {"model": {"tied_embeddings": True}}
EXPERTS = {"model": {"experts": 4, "experts_per_token": 2}}
QWEN = {"model": {"qk_norm": True, "qkv_bias": True, "head_dim": 16}}
GPT2 = {"model": {"norm": "layer", "activation": "gelu_tanh", "position_embedding": "learned", "bias": True,
                  "qkv_bias": True, "tied_embeddings": True, "kv_heads": None}}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {"llama": {}, "tied": TIED, "experts": EXPERTS, "qwen": QWEN, "gpt2": GPT2}


def parallel(model: str = "llama", **sizes: Any) -> dict[str, Any]:
    return {**MODELS[model], "parallel": sizes}


SPLITS: dict[str, dict[str, Any]] = {
    "micro-batches of 1": {"training": {"micro_batch": 1}},
    "one of 8": {"training": {"micro_batch": 8}},
    "full recomputation": {"training": {"recompute": "full"}},
    "selective recomputation": {"training": {"recompute": "selective"}},
    "again": {},
}
BF16 = {"training": {"precision": "bf16"}}


@functools.cache
def alone() -> dict[str, Any]:
    """What one process does, without any parallelism."""
    cases = [*MODELS.values(), *SPLITS.values(), BF16]
    (answer,) = ranks.run(1, "tests.pretrain.mcore.cases:alone", cases)
    answer["curves"] = dict(zip([*MODELS, *SPLITS, "bf16"], answer["curves"], strict=True))
    return answer  # type: ignore[no-any-return]


def one_process() -> dict[str, Curve]:
    return alone()["curves"]  # type: ignore[no-any-return]


def check(curves: list[Curve], wanted: Curve, name: str) -> None:
    for rank, curve in enumerate(curves):
        for step, (got, expected) in enumerate(zip(curve, wanted, strict=True)):
            assert got[0] == pytest.approx(expected[0], abs=5e-6), (name, rank, step, "loss")
            assert got[1] == pytest.approx(expected[1], abs=1e-4), (name, rank, step, "gradient norm")


def check_all(world: int, cases: dict[str, tuple[str, dict[str, Any]]]) -> None:
    """Run (model, parallel sizes) of each case in the same processes and compare with one process."""
    settings = [parallel(model, **sizes) for model, sizes in cases.values()]
    results = ranks.run(world, "tests.pretrain.mcore.cases:train", settings)
    for number, (name, (model, _)) in enumerate(cases.items()):
        check([result[number] for result in results], one_process()[model], name)


@pytest.mark.slow  # a minute
def test_two_ranks_train_as_one():
    check_all(2, {
        "tensor": ("llama", {"tensor": 2}),
        "sequence": ("llama", {"tensor": 2, "sequence": True}),
        "pipeline, 1F1B": ("llama", {"pipeline": 2}),
        "pipeline, interleaved": ("llama", {"pipeline": 2, "virtual_pipeline": 2}),
        "context": ("llama", {"context": 2}),
        "data": ("llama", {}),
        "data, overlapping": ("llama", {"overlap": True}),
        "data, distributed optimizer": ("llama", {"distributed_optimizer": True}),
        "data, distributed optimizer, overlapping": ("llama", {"distributed_optimizer": True, "overlap": True}),
        "tied embeddings, tensor": ("tied", {"tensor": 2}),
        "tied embeddings, pipeline": ("tied", {"pipeline": 2}),
        "expert": ("experts", {"expert": 2}),
        "expert, distributed optimizer": ("experts", {"expert": 2, "distributed_optimizer": True}),
        "norms of heads, tensor and sequence": ("qwen", {"tensor": 2, "sequence": True}),
        "learned positions, tensor and sequence": ("gpt2", {"tensor": 2, "sequence": True}),
        "learned positions, context": ("gpt2", {"context": 2}),
    })  # fmt: skip


@pytest.mark.slow
def test_four_ranks_train_as_one():
    check_all(4, {
        "tensor and pipeline": ("llama", {"tensor": 2, "pipeline": 2}),
        "tensor, sequence, data": (
            "llama", {"tensor": 2, "sequence": True, "distributed_optimizer": True, "overlap": True},
        ),
        "context and pipeline": ("llama", {"context": 2, "pipeline": 2}),
    })  # fmt: skip


@pytest.mark.slow
def test_ranks_draw_alike_where_they_share_hidden_states_and_nowhere_else():
    cases = [parallel("llama", **{name: 2}) for name in ("tensor", "pipeline", "context")] + [parallel("llama")]
    first, second = ranks.run(2, "tests.pretrain.mcore.cases:drawn", cases)
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False, False, False]


@pytest.mark.parametrize("split", SPLITS)
def test_splitting_a_batch_recomputing_and_running_twice_change_nothing(split):
    check([one_process()[split]], one_process()["llama"], split)
    if split == "again":
        assert one_process()[split] == one_process()["llama"]


def test_packed_documents_are_as_documents_apart():
    packed, apart, lone = alone()["documents"]
    assert packed == pytest.approx(apart, abs=5e-6)
    assert packed == pytest.approx(lone, abs=5e-6)
    assert len({round(value, 3) for value in packed}) == len(packed)  # the models differ, so the check can fail


def test_bf16_follows_fp32():
    for got, expected in zip(one_process()["bf16"], one_process()["llama"], strict=True):
        assert got[0] == pytest.approx(expected[0], abs=0.02)


def test_a_discarded_step_changes_nothing():
    before, unchanged, after = alone()["discarded"]
    assert before == unchanged
    assert after < before - 0.01


def test_a_device_that_is_asked_for_is_used_under_the_shim():
    assert alone()["meta"] == "meta"


def test_schedules_are_those_of_their_papers():
    cosine, wsd, linear, constant = alone()["schedules"]
    assert cosine[:2] == pytest.approx([0.5, 1.0])  # warm-up of two steps to 1.0, then down to 0.1 at step 20
    assert cosine[10] == pytest.approx(0.1 + 0.9 * 0.5, abs=1e-6)  # half way between step 2 and 20
    assert cosine[-1] == wsd[-1] == linear[-1] == pytest.approx(0.1)
    assert wsd[1:15] == [1.0] * 14  # flat until the last five steps, then a line
    assert wsd[15:] == pytest.approx([0.82, 0.64, 0.46, 0.28, 0.1])
    assert linear[10] == pytest.approx(0.55)
    assert constant[1:] == [1.0] * 19
