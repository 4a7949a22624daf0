"""The Megatron backend against transformers and peft, and against itself under every split."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import load_peft_weights, set_peft_model_state_dict

from align.backends.hf.policy import HuggingFacePolicy
from tests.align.backends import megatron_cases as cases
from tests.align.backends import megatron_oracle as oracle
from tests.pretrain.mcore import ranks

MODULE = "tests.align.backends.megatron_cases"
ADAPTED = ("llama", "qwen2", "gpt2")
# peft 0.21 asks transformers 5.24 for an attribute that is going away
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("megatron"))
    oracle.make(folder)
    return folder


@pytest.fixture(scope="module")
def alone(place) -> dict[str, Any]:
    return ranks.run(1, f"{MODULE}:alone", place, list(cases.MODELS))[0]


def assert_seen(got: dict[str, Any], wanted: dict[str, Any], tolerance: float = 2e-5) -> None:
    for name, values in wanted.items():
        expected = torch.as_tensor(values)
        assert torch.as_tensor(got[name]).shape == expected.shape, name
        off = (torch.as_tensor(got[name]) - expected.detach()).abs().max().item()
        assert off <= tolerance, (name, off)


def assert_curve(got: list[list[float]], wanted: list[list[float]], name: str = "") -> None:
    for step, (one, other) in enumerate(zip(got, wanted, strict=True)):
        near = 5e-6 if step < 2 else 3e-5  # Adam makes whole steps of gradients that are as small as roundings
        assert one[0] == pytest.approx(other[0], abs=near), (name, step, "loss")
        assert one[1] == pytest.approx(other[1], rel=5e-6, abs=1e-4), (name, step, "norm")
        assert one[2] == other[2], (name, step, "learning rate")
        assert one[3:] == pytest.approx(other[3:], rel=5e-6), (name, step, "metrics")


@pytest.mark.parametrize("name", cases.MODELS)
def test_outputs_are_those_of_transformers(place, alone, name):
    model = oracle.language_model(f"{place}/{name}")
    assert_seen(alone[name]["seen"], oracle.seen(model))
    assert_seen(alone[name]["warm"], oracle.seen(model, temperature=0.5))


@pytest.mark.parametrize("name", cases.MODELS)
def test_loss_and_gradient_norm_are_those_of_transformers(place, alone, name):
    model = oracle.language_model(f"{place}/{name}")
    loss, norm = oracle.step(oracle.seen(model), "lm", model.parameters())
    assert alone[name]["curve"][0][0] == pytest.approx(loss, abs=1e-5)
    assert alone[name]["curve"][0][1] == pytest.approx(norm, rel=1e-5)


@pytest.mark.parametrize("name", [*cases.MODELS, "lora llama", "lora qwen2", "lora gpt2", "value", "reward"])
def test_both_backends_train_alike(place, alone, name):
    """Loss, gradient norm, learning rate and metrics of three steps."""
    head = name if name in ("value", "reward") else "lm"
    folder = name.removeprefix("lora ")
    policy = HuggingFacePolicy(cases.settings(f"{place}/{folder}", head, lora=name != folder))
    if name != folder:
        set_peft_model_state_dict(policy.adapters.model, load_peft_weights(f"{place}/{folder}-peft"))
    for got, wanted in zip(alone[name]["curve"], cases.curve(policy), strict=True):
        assert got == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("name", cases.MODELS)
def test_packed_is_padded(alone, name):
    assert_seen(alone[name]["packed"], {k: v for k, v in alone[name]["seen"].items() if k != "top"}, 1e-6)


@pytest.mark.parametrize("name", cases.MODELS)
def test_weights_come_out_whole_as_they_went_in(place, alone, name):
    """Also those of biases, padded vocabularies, tied embeddings and experts."""
    state = oracle.language_model(f"{place}/{name}").state_dict()
    wanted = {n: hashlib.sha256(w.contiguous().numpy().tobytes()).hexdigest() for n, w in state.items()}
    got = alone[name]["weights"]
    if name != "mixtral":  # of which transformers joins the experts' matrices when it loads them
        assert {n: h for n, h in wanted.items() if n in got} == got
        assert {n for n in wanted if n not in got} <= {"lm_head.weight"}


@pytest.mark.parametrize("name", cases.MODELS)
def test_an_exported_model_gives_in_transformers_what_the_policy_gave(place, alone, name):
    assert_seen(alone[name]["trained"], oracle.seen(oracle.language_model(f"{place}/{name}-exported")))
    assert alone[name]["trained"]["logprobs"] != alone[name]["seen"]["logprobs"]


@pytest.mark.parametrize("split", ["one of 8", "of 1", "of 3", "packed", "recomputed"])
def test_micro_batches_packing_and_recomputation_change_nothing(alone, split):
    assert_curve(alone["splits"][split], alone["llama"]["curve"], split)


def test_bf16_follows_fp32(alone):
    for got, wanted in zip(alone["bf16"], alone["llama"]["curve"], strict=True):
        assert got[0] == pytest.approx(wanted[0], abs=0.03)


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["weights", "adapters", "dropout"])
def test_a_resumed_policy_goes_on_bit_for_bit(alone, kind):
    unbroken, resumed, version, again, equal, size = alone["resume"][kind]
    assert resumed == unbroken
    assert version == again == 4
    assert equal
    assert (size < 600_000) == (kind > 0)  # of adapters the adapters alone
    if kind == 2:
        assert unbroken != alone["resume"][1][0]  # places were dropped, so the random numbers went on too


def test_a_step_that_is_not_finite_is_not_applied(alone):
    assert alone["discarded"]["loss"] == [False, 0, True]
    assert alone["discarded"]["gradients"] == [False, 0, True]
    loss, norm, rate, *_ = alone["discarded"]["then"][0]
    wanted = alone["llama"]["curve"]
    assert [loss, norm] == pytest.approx(wanted[0][:2], abs=1e-5)
    assert rate == wanted[2][2]  # the schedule went on


def test_a_policy_that_was_offloaded_trains_on_as_before(alone):
    assert alone["offloaded"]["curve"] == alone["llama"]["curve"]
    everything, weights, optimizer = alone["offloaded"]["said"]
    assert everything[0] == "the policy's optimizer and weights are offloaded: onload first"
    assert weights == ["the policy's weights are offloaded: onload first", 0]
    assert optimizer[0] == "the policy's optimizer are offloaded: onload first"
    assert everything[1] == 0 < optimizer[1]


@pytest.mark.parametrize("head", ["value", "reward"])
def test_heads_give_and_learn_what_transformers_does(place, alone, head):
    model, found = oracle.numbers(f"{place}/{head}")
    wanted = {name: values for name, values in found.items() if name == {"value": "values", "reward": "scores"}[head]}
    assert_seen(alone[head]["seen"], wanted)
    assert_seen(alone[head]["packed"], wanted)
    loss, norm = oracle.step(wanted, head, model.parameters())
    assert alone[head]["curve"][0][:2] == pytest.approx([loss, norm], rel=1e-5)


@pytest.mark.parametrize(("head", "given"), [("value", "values"), ("reward", "scores")])
def test_an_exported_head_gives_in_transformers_what_the_policy_gave(place, alone, head, given):
    assert_seen(alone[head]["trained"], {given: oracle.numbers(f"{place}/{head}-exported")[1][given]})


@pytest.mark.parametrize(("head", "given"), [("value", "values"), ("reward", "scores")])
def test_adapters_of_a_model_with_a_head_are_peft_s_and_bring_the_head(place, alone, head, given):
    found, folder = alone[f"lora {head}"], f"{place}/{head}"
    model, wanted = oracle.numbers(folder, f"{folder}-peft")
    assert_seen(found["loaded"], {given: wanted[given]})
    first = oracle.step({given: wanted[given]}, head, model.parameters())
    assert found["curve"][0][:2] == pytest.approx(first, rel=2e-5)
    assert_seen(found["trained"], {given: oracle.numbers(folder, f"{folder}-adapted/adapter")[1][given]})
    assert_seen(found["trained"], {given: oracle.numbers(f"{folder}-adapted")[1][given]})  # merged


def test_what_lies_beside_the_weights_is_exported_too(place, alone):
    for folder in ("llama-exported", "llama-adapted"):
        assert Path(place, folder, "chat_template.jinja").read_text() == "{{ messages }}"


def test_a_frozen_policy_gives_the_same_after_it_was_away(alone):
    assert alone["frozen"] == alone["llama"]["seen"]


def test_a_head_that_the_folder_lacks_is_drawn_by_the_seed(alone):
    first, second = alone["fresh head"]
    assert first == second
    assert torch.tensor(first["values"]).abs().max() > 0


@pytest.mark.parametrize("name", ADAPTED)
def test_adapters_of_peft_give_here_what_they_give_there(place, alone, name):
    model = oracle.adapted(f"{place}/{name}", f"{place}/{name}-peft")
    found = oracle.seen(model)
    assert_seen(alone[f"lora {name}"]["loaded"], found)
    loss, norm = oracle.step(found, "lm", model.parameters())
    assert alone[f"lora {name}"]["curve"][0][:2] == pytest.approx([loss, norm], rel=2e-5)
    assert alone[f"lora {name}"]["count"] == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert alone[f"lora {name}"]["frozen"]


@pytest.mark.parametrize("name", ADAPTED)
def test_fresh_adapters_and_adapters_that_are_off_change_nothing(alone, name):
    assert_seen(alone[f"lora {name}"]["fresh"], alone[name]["seen"], 1e-6)
    assert alone[f"lora {name}"]["without"] == alone[name]["seen"]


@pytest.mark.parametrize("name", ADAPTED)
def test_adapters_trained_here_give_in_peft_what_they_gave_here(place, alone, name):
    model = oracle.adapted(f"{place}/{name}", f"{place}/{name}-adapted/adapter")
    found = oracle.seen(model)
    assert_seen(alone[f"lora {name}"]["trained"], found)
    assert alone[f"lora {name}"]["trained"]["logprobs"] != alone[f"lora {name}"]["loaded"]["logprobs"]


@pytest.mark.parametrize("name", ADAPTED)
def test_merged_is_applied(place, alone, name):
    assert_seen(alone[f"lora {name}"]["merged"], alone[f"lora {name}"]["trained"])
    assert_seen(alone[f"lora {name}"]["merged"], oracle.seen(oracle.language_model(f"{place}/{name}-adapted")))


def test_recomputation_trains_adapters_too(alone):
    assert_curve(alone["lora recomputed"], alone["lora llama"]["curve"])


@pytest.mark.parametrize("name", cases.MODELS)
def test_completions_have_the_policys_own_log_probabilities(alone, name):
    for tokens, logprobs, finish, own, _ in alone[name]["together"] + alone[name]["warm completions"]:
        assert logprobs == pytest.approx(own, abs=1e-5)
        assert finish == ("stop" if tokens[-1] < 20 else "length")
        assert all(token >= 20 for token in tokens[:-1])
        assert len(tokens) == 10 or finish == "stop"


@pytest.mark.parametrize("name", cases.MODELS)
def test_a_requests_tokens_do_not_depend_on_what_runs_beside_it(alone, name):
    together, apart = alone[name]["together"], alone[name]["one by one"]
    assert [made[0] for made in together] == [made[0] for made in apart]
    assert len({tuple(made[0]) for made in together}) == 5


def test_some_completions_end_early_and_some_do_not(alone):
    ends = {made[2] for name in cases.MODELS for made in alone[name]["together"]}
    assert ends == {"stop", "length"}
    assert alone["llama"]["later"] == cases.STEPS  # the version of weights that have been trained


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("context", "AlignSettingsError: parallel.context is 2; alignment on Megatron cuts no sequence over ranks"),
        ("tensor", "AlignSettingsError: 1 ranks cannot share"),
        ("folder", "ModelError: backend megatron: "),
        ("target", "ModelError: model.peft.targets: no layer's name ends with q_prj. Did you mean q_proj?"),
        ("frozen", "AlignSettingsError: this policy is frozen"),
        ("nothing", "AlignSettingsError: a step without micro-batches"),
        ("head", "AlignSettingsError: values need a policy with head value; this one's is lm"),
        ("reference", "ModelError: only a language model with adapters is its own reference"),
        ("long", "ModelError: a sequence has 40 tokens; "),
        ("foreign", "ModelError: a batch holds token 500; "),
        ("load", "CheckpointError: "),
        ("prompt", "RolloutError: a prompt of 30 tokens and rollouts.max_tokens 3 are more than the model's 32"),
        ("adapter", "ModelError: "),
        ("no adapters", "ModelError: this policy has no adapters"),
        ("scores", "ModelError: "),
    ],
)
def test_mistakes_are_refused_in_a_line(alone, mistake, words):
    said = alone["refused"][mistake]
    assert said.startswith(words)
    assert "\n" not in said


TWO: dict[str, dict[str, Any]] = {
    "sequence": {"model": "llama", "parallel": {"tensor": 2}, "save": "sequence-saved"},
    "pipeline, interleaved": {
        "model": "llama", "parallel": {"pipeline": 2, "virtual_pipeline": 2}, "batches": {"each": 3},
    },
    "data, distributed optimizer, overlapping, packed, one rank idle at last": {
        "model": "llama", "parallel": {"distributed_optimizer": True, "overlap": True}, "save": "data-saved",
        "batches": {"each": 3, "width": 33},
    },
    "tied, pipeline": {"model": "qwen2", "parallel": {"pipeline": 2}},
    "expert": {"model": "mixtral", "parallel": {"expert": 2}, "experts": True},
    "adapters of GPT-2, sequence": {
        "model": "gpt2", "lora": True, "parallel": {"tensor": 2}, "export": "gpt2-two", "save": "gpt2-saved",
    },
    "value, sequence": {"model": "value", "head": "value", "parallel": {"tensor": 2}},
}  # fmt: skip
MORE: dict[str, dict[str, Any]] = {
    "tensor": {"model": "llama", "parallel": {"tensor": 2, "sequence": False}, "save": "tensor-saved"},
    "pipeline": {"model": "llama", "parallel": {"pipeline": 2}, "save": "pipeline-saved"},
    "data": {"model": "llama"},
    "tied, scaled, biased, tensor": {"model": "llama, scaled, tied, biased", "parallel": {"tensor": 2}},
    "norms of heads, tensor": {"model": "qwen3", "parallel": {"tensor": 2}},
    "learned positions, tensor": {"model": "gpt2", "parallel": {"tensor": 2}},
    "adapters, tensor": {"model": "llama", "lora": True, "parallel": {"tensor": 2, "sequence": False}},
    "adapters, sequence": {"model": "llama", "lora": True, "parallel": {"tensor": 2}, "recompute": True},
    "adapters, pipeline": {"model": "qwen2", "lora": True, "parallel": {"pipeline": 2}},
    "adapters, interleaved": {"model": "llama", "lora": True, "parallel": {"pipeline": 2, "virtual_pipeline": 2}},
    "adapters, data": {"model": "qwen2", "lora": True, "parallel": {"distributed_optimizer": True}},
    "adapters of a head, sequence": {
        "model": "reward", "head": "reward", "lora": True, "parallel": {"tensor": 2}, "export": "reward-two",
    },
    "value, tensor": {"model": "value", "head": "value", "parallel": {"tensor": 2, "sequence": False}},
    "reward, pipeline": {"model": "reward", "head": "reward", "parallel": {"pipeline": 2}},
}  # fmt: skip
FOUR: dict[str, dict[str, Any]] = {
    "tensor, sequence, pipeline": {"model": "qwen3", "parallel": {"tensor": 2, "pipeline": 2}},
    "tensor, data": {"model": "gpt2", "parallel": {"tensor": 2, "distributed_optimizer": True, "overlap": True}},
    "adapters, tensor, pipeline": {"model": "llama", "lora": True, "parallel": {"tensor": 2, "pipeline": 2}},
    "expert, tensor, data": {"model": "mixtral", "parallel": {"tensor": 2, "expert": 2}, "experts": True},
}  # fmt: skip


def check_spread(place: str, alone: dict[str, Any], chosen: dict[str, dict[str, Any]], world: int) -> None:
    given = [{**case, **({"save": f"{place}/{case['save']}"} if "save" in case else {})} for case in chosen.values()]
    for rank, results in enumerate(ranks.run(world, f"{MODULE}:spread", place, given)):
        for (name, case), found in zip(chosen.items(), results, strict=True):
            one = alone[f"lora {case['model']}" if case.get("lora") else case["model"]]
            where = f"{name}, rank {rank}"
            assert_seen(found["seen"], one["loaded" if case.get("lora") else "seen"])
            assert_curve(found["curve"], one["curve"], where)
            assert_seen(found["trained"], {k: v for k, v in one["trained"].items() if k != "top"}, 2e-4)
            if "weights" in one:
                assert found["weights"] == one["weights"], where
            if "together" in one and "queue" in found:
                assert found["queue"] == [made[0] for made in one["together"]], where
            if "together" in one and "completions" in found:
                assert [made[0] for made in found["completions"]] == [made[0] for made in one["together"]], where
            for made in found.get("completions", ()):
                assert made[1] == pytest.approx(made[3], abs=1e-5), where
            for unbroken, resumed in [found["resumed"]] if "resumed" in found else []:
                assert unbroken == resumed, where


@pytest.mark.slow  # seven cases
def test_two_ranks_are_as_one(place, alone):
    check_spread(place, alone, TWO, 2)
    model = oracle.adapted(f"{place}/gpt2", f"{place}/gpt2-two/adapter")  # gathered from two ranks
    assert_seen(alone["lora gpt2"]["trained"], oracle.seen(model), 2e-4)


@pytest.mark.slow  # fourteen cases
def test_two_ranks_are_as_one_in_all_else(place, alone):
    check_spread(place, alone, MORE, 2)


@pytest.mark.slow  # four ranks
def test_four_ranks_are_as_one(place, alone):
    check_spread(place, alone, FOUR, 4)
