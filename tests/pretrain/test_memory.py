from __future__ import annotations

import functools
from typing import Any

import pytest

from pretrain.memory import Sizes, kept_of_layer, layers_in_flight, memory, of_stage
from pretrain.sizes import rank_parameters
from tests.pretrain.mcore import cases, ranks
from tests.pretrain.mcore.test_laws import MODELS

BIG = {"hidden_size": 128, "ffn_size": 384}
HALF = {"training": {"precision": "bf16"}}


def case(model: str, layers: int = 4, dropout: float = 0.0, **sections: Any) -> dict[str, Any]:
    shape = {**MODELS[model].get("model", {}), **BIG, "layers": layers, "dropout": dropout}
    return {"model": shape, **sections}


# name: (case, least and most of what is measured that the formula may say)
KEPT: dict[str, tuple[dict[str, Any], float, float]] = {
    "llama": (case("llama"), 1.0, 1.01),
    "experts": (case("experts"), 1.0, 1.05),
    "qwen": (case("qwen"), 1.0, 1.15),
    "gpt2": (case("gpt2"), 1.0, 1.01),
    "llama, bf16": (case("llama", **HALF), 1.0, 1.01),
    "gpt2, bf16": (case("gpt2", **HALF), 1.0, 1.01),
    "selective": (case("llama", training={"recompute": "selective"}), 1.0, 1.02),
    "full": (case("llama", training={"recompute": "full"}), 1.0, 1.01),
}


@functools.cache
def alone() -> dict[tuple[str, int], dict[str, int]]:
    """What one process holds: each case with 4 layers, and with 2."""
    given = {
        (name, layers): {**each, "model": {**each["model"], "layers": layers}}
        for name, (each, _, _) in KEPT.items()
        for layers in (4, 2)
    }
    (answer,) = ranks.run(1, "tests.pretrain.measured:held", list(given.values()))
    return dict(zip(given, answer, strict=True))


@pytest.mark.parametrize("name", KEPT)
def test_states_are_what_one_process_holds(name):
    settings, found = cases.config(**KEPT[name][0]), alone()[name, 4]
    expected = memory(settings, Sizes(1), gpu=False)
    assert rank_parameters(settings.model).total == found["parameters"]
    assert expected.gradients == found["gradients"]
    assert expected.optimizer == found["optimizer"]
    assert expected.save == found["save"]


@pytest.mark.parametrize("name", KEPT)
def test_activations_of_a_layer_are_what_torch_keeps(name):
    each, least, most = KEPT[name]
    measured = (alone()[name, 4]["activations"] - alone()[name, 2]["activations"]) / 2
    assert least * measured <= kept_of_layer(cases.config(**each), Sizes(1), gpu=False) <= most * measured


SPREAD: dict[str, dict[str, Any]] = {
    "tensor": {**case("gpt2"), "parallel": {"tensor": 2}},
    "tensor and sequence": {**case("qwen"), "parallel": {"tensor": 2, "sequence": True}},
    "pipeline": {**case("tied"), "parallel": {"pipeline": 2}},
    "pipeline, untied": {**case("llama"), "parallel": {"pipeline": 2, "virtual_pipeline": 2}},
    "expert": {**case("experts"), "parallel": {"expert": 2, "distributed_optimizer": True}},
    "data, bf16": {**case("llama", **HALF), "parallel": {"distributed_optimizer": True}},
    "context": {**case("llama"), "parallel": {"context": 2}},
}


def sizes(settings: Any) -> Sizes:
    p = settings.parallel
    return Sizes(2, p.tensor, p.pipeline, p.context, p.expert, p.virtual_pipeline, p.sequence, p.distributed_optimizer)


@pytest.mark.slow  # two ranks
def test_states_are_what_each_of_two_ranks_holds():
    found = ranks.run(2, "tests.pretrain.measured:held", list(SPREAD.values()))
    for number, (name, given) in enumerate(SPREAD.items()):
        settings = cases.config(**given)
        for rank in range(2):
            stage = rank if settings.parallel.pipeline == 2 else 0
            expected, measured = of_stage(settings, sizes(settings), stage, gpu=False), found[rank][number]
            held = rank_parameters(settings.model, settings.parallel.tensor, settings.parallel.pipeline,
                                   settings.parallel.expert, stage)  # fmt: skip
            assert held.total == measured["parameters"], (name, rank)
            assert held.experts == measured["experts"], (name, rank)
            assert expected.gradients == measured["gradients"], (name, rank)
            # shards are cut on multiples of 64 numbers or so; the larger of two is a little more than half
            assert measured["optimizer"] == pytest.approx(expected.optimizer, rel=0.02), (name, rank)
            assert measured["save"] == pytest.approx(expected.save, rel=0.1), (name, rank)


@pytest.mark.slow  # two ranks
@pytest.mark.parametrize("name", ["tensor", "tensor and sequence"])
def test_tensor_parallel_ranks_keep_less(name):
    settings = cases.config(**SPREAD[name])
    alone, spread = (kept_of_layer(settings, each, gpu=False) for each in (Sizes(1), sizes(settings)))
    assert spread < alone
    if settings.parallel.sequence:
        assert spread <= alone / 2 + 64 * 8  # all is cut


def test_layers_in_flight_are_those_of_the_papers():
    settings = cases.config(model={"layers": 16}, training={"global_batch": 64, "micro_batch": 1})
    first = [layers_in_flight(settings, Sizes(4, pipeline=4, virtual_pipeline=v), 0) for v in (1, 2, 4)]
    # Korthikanti et al. 2022, section 4.2.3: L layers, interleaved L (1 + (p - 1) / (p v))
    assert first == [16, 16 * (1 + 3 / 8), 16 * (1 + 3 / 16)]
    assert [layers_in_flight(settings, Sizes(4, pipeline=4), stage) for stage in range(4)] == [16, 12, 8, 4]
    few = cases.config(model={"layers": 16}, training={"global_batch": 2, "micro_batch": 1})
    assert layers_in_flight(few, Sizes(4, pipeline=4), 0) == 8


def test_the_paper_on_gpt():
    """Korthikanti et al. 2022, table 2, without dropout's masks and kept scores, with tensor and sequence parallelism.

    Of its 34 s b h / t: 4 of 5 h masks, and 2 h (the softmax's input side is ours: attention's output, twice).
    """
    settings = cases.config(**case("gpt2", **HALF))
    shape = settings.model
    tokens = 64
    kept = kept_of_layer(settings, Sizes(1), gpu=True) / tokens
    h, f = shape.hidden_size, shape.ffn_size
    norms, qkv, out, inner = 2 * 2 * 2 * h, 2 * (h + 2 * h // 1), 2 * 2 * h, 2 * 2 * f
    assert kept == norms + qkv + out + inner + 2 * 8 + 4 * shape.heads
