from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from align.errors import AlignSettingsError, ModelError, RolloutError
from align.rollout.generator import Request, Sampling
from align.rollout.transformers import TransformersGenerator
from tests.align.rollout.tiny import VOCAB, forward_logprobs, gpt2, llama, mistral, requests, same

MODELS = {"llama": llama, "gpt2": gpt2, "mistral": mistral}
SAMPLING = Sampling(max_tokens=40, stop=(3, 9))


@pytest.fixture(scope="module")
def model():
    return llama()


@pytest.mark.parametrize("name", MODELS)
def test_greedy_equals_generate_of_transformers(name):
    model = MODELS[name]()
    asked = requests(5)
    sampling = Sampling(max_tokens=150, temperature=0)  # longer than the cache's first room
    ours = TransformersGenerator(model).generate(asked, sampling)
    for request, one in zip(asked, ours):
        ids = torch.from_numpy(request.prompt)[None]
        theirs = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=150)
        assert one.tokens.tolist() == theirs[0, ids.shape[1] :].tolist()
        assert one.finish == "length"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_logprobs_equal_a_plain_forward_pass(name, temperature):
    model = MODELS[name]()
    asked = requests(8)
    given = TransformersGenerator(model).generate(asked, dataclasses.replace(SAMPLING, temperature=temperature))
    for request, one in zip(asked, given):
        np.testing.assert_allclose(one.logprobs, forward_logprobs(model, request, one, temperature), rtol=0, atol=1e-5)


def test_a_request_gives_the_same_in_any_batch_order_and_bound_of_memory(model):
    asked = requests(24)
    whole = TransformersGenerator(model).generate(asked, SAMPLING)
    assert {one.finish for one in whole} == {"stop", "length"}
    shuffled = np.random.default_rng(5).permutation(24)
    again = TransformersGenerator(model).generate([asked[i] for i in shuffled], SAMPLING)
    assert all(same(whole[i], one) for i, one in zip(shuffled, again))
    for cache_bytes in (1, 60_000):
        small = TransformersGenerator(model, cache_bytes=cache_bytes).generate(asked, SAMPLING)
        assert all(map(same, whole, small))


def test_requests_of_one_prompt_differ_by_their_seeds_alone(model):
    prompt = np.array([5, 6, 7])
    given = TransformersGenerator(model).generate([Request(prompt, seed) for seed in (1, 2, 1, -1)], SAMPLING)
    assert same(given[0], given[2])
    assert len({tuple(one.tokens) for one in given}) == 3


def test_a_stop_token_ends_a_completion_and_changes_nothing_before_it(model):
    asked = requests(16)
    free = TransformersGenerator(model).generate(asked, dataclasses.replace(SAMPLING, stop=()))
    stopped = TransformersGenerator(model).generate(asked, SAMPLING)
    for long, short in zip(free, stopped):
        assert short.tokens.tolist() == long.tokens[: len(short.tokens)].tolist()
        assert not set(short.tokens[:-1].tolist()) & {3, 9}
        assert (short.finish == "stop") == (short.tokens[-1] in (3, 9))
        assert short.finish == "stop" or len(short.tokens) == 40
        assert (short.tokens.dtype, short.logprobs.dtype) == (np.int64, np.float32)


def test_equal_prompts_are_read_once_and_ended_completions_leave_the_batch(model):
    shapes: list[tuple[int, ...]] = []
    hook = model.model.embed_tokens.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    prompts = [np.arange(1, 20), np.arange(2, 12)]
    asked = [Request(prompt, seed) for seed in range(6) for prompt in prompts]
    given = TransformersGenerator(model).generate(asked, SAMPLING)
    hook.remove()
    assert shapes[0] == (2, 19)
    lengths = [len(one.tokens) for one in given]
    alive = [sum(length > step for length in lengths) for step in range(1, max(lengths))]
    assert shapes[1:] == [(rows, 1) for rows in alive]
    assert alive[0] > alive[-1]


def test_the_policys_own_module_is_used_as_it_is_and_left_as_it_was():
    model = llama(attention_dropout=0.5).train()
    model.model.layers[0].eval()
    flags = [module.training for module in model.modules()]
    asked = requests(4)
    generator = TransformersGenerator(model, version=3)
    first = generator.generate(asked, SAMPLING)
    assert [module.training for module in model.modules()] == flags
    assert all(map(same, first, generator.generate(asked, SAMPLING)))  # no dropout
    assert {one.version for one in first} == {3}
    with torch.no_grad():
        model.lm_head.weight.mul_(-1)
    generator.update(iter([("no name of it", torch.zeros(1))]), 4)  # not looked at
    assert generator.version == 4
    second = generator.generate(asked, SAMPLING)
    model.eval()
    for request, one in zip(asked, second):
        np.testing.assert_allclose(one.logprobs, forward_logprobs(model, request, one), rtol=0, atol=1e-5)
    assert all(parameter.grad is None and not parameter.is_inference() for parameter in model.parameters())


def test_update_copies_weights_in_place_tied_or_not(tmp_path):
    for tied in (False, True):
        trained, folder = llama(seed=1, tie_word_embeddings=tied), str(tmp_path / str(tied))
        llama(seed=0, tie_word_embeddings=tied).save_pretrained(folder)
        generator = TransformersGenerator.load(folder, version=7)
        asked = requests(4)
        before = generator.generate(asked, SAMPLING)
        generator.update(trained.named_parameters(), 8)  # of a tied model without lm_head.weight
        after = generator.generate(asked, SAMPLING)
        expected = TransformersGenerator(trained, version=8).generate(asked, SAMPLING)
        assert all(map(same, after, expected))
        assert not any(map(same, before, after))
        assert {one.version for one in before} == {7}


def test_experts_that_transformers_stacks_come_one_by_one():
    from transformers import MixtralConfig, MixtralForCausalLM
    from transformers.core_model_loading import revert_weight_conversion

    def mixtral(seed):
        torch.manual_seed(seed)
        config = MixtralConfig(vocab_size=VOCAB, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                               num_attention_heads=4, num_key_value_heads=2, num_local_experts=4,
                               initializer_range=0.15, bos_token_id=None, eos_token_id=None)  # fmt: skip
        return MixtralForCausalLM(config).eval()

    trained, generator = mixtral(1), TransformersGenerator(mixtral(0), own=True)
    written = revert_weight_conversion(trained, dict(trained.state_dict()))
    assert "model.layers.1.block_sparse_moe.experts.3.w2.weight" in written
    generator.update(written.items(), 1)
    asked = requests(5)
    expected = TransformersGenerator(trained, version=1).generate(asked, SAMPLING)
    assert all(map(same, generator.generate(asked, SAMPLING), expected))


def test_logprobs_equal_those_of_a_policy_that_packs(tmp_path):
    from align.backends.hf.policy import HuggingFacePolicy
    from align.backends.settings import PolicySettings
    from align.batch import Example, TokenSequence
    from align.layout import packed

    llama().save_pretrained(tmp_path)
    policy = HuggingFacePolicy(PolicySettings(str(tmp_path), temperature=0.8))
    asked = requests(12)
    given = TransformersGenerator(policy.model).generate(asked, dataclasses.replace(SAMPLING, temperature=0.8))
    examples = []
    for request, one in zip(asked, given):
        tokens = np.concatenate([request.prompt, one.tokens])
        examples.append(Example("", (TokenSequence(tokens, np.arange(len(tokens)) >= len(request.prompt)),)))
    (outputs,) = policy.logprobs([packed(examples, 128)])
    for row, request, one in zip(outputs.logprobs, asked, given):
        start = len(request.prompt) - 1
        np.testing.assert_allclose(one.logprobs, row[start : start + len(one.tokens)], rtol=0, atol=1e-5)


def test_weights_that_do_not_fit_are_refused_and_a_mixture_is_not_used():
    given = dict(llama(seed=1).named_parameters())
    generator = TransformersGenerator(llama(), own=True)
    name = "model.layers.0.mlp.up_proj.weight"
    elsewhere, turned = ("model.layer.0.mlp.up_proj.weight", given[name]), given | {name: given[name].T}
    wrong = {
        r"no weight model\.layer\.0.* Did you mean": [*given.items(), elsewhere],
        "1 of 21 weights did not come, the first is lm_head.weight": list(given.items())[:-1],
        r"up_proj.weight has the shape \(32, 48\); the generator's is \(48, 32\)": list(turned.items()),
        "up_proj.weight came twice": [(name, given[name])] * 2,
    }
    for message, weights in wrong.items():
        with pytest.raises(RolloutError, match=message):
            generator.update(weights, 1)
        assert generator.version == 0
        with pytest.raises(RolloutError, match="mixture of two versions"):
            generator.generate(requests(1), SAMPLING)
    generator.update(given.items(), 1)
    assert generator.generate(requests(1), SAMPLING)[0].version == 1


def test_a_sleeping_generator_wakes_as_it_was():
    generator = TransformersGenerator(llama(), own=True)
    before = generator.generate(requests(2), SAMPLING)
    generator.sleep()
    with pytest.raises(RolloutError, match="sleeps"):
        generator.generate(requests(2), SAMPLING)
    generator.wake()
    assert all(map(same, before, generator.generate(requests(2), SAMPLING)))


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # of peft 0.21, by transformers
@pytest.mark.parametrize("kind", ["lora", "p_tuning"])
def test_adapters_of_peft_are_part_of_the_model(kind):
    from peft import LoraConfig, PromptEncoderConfig, get_peft_model

    config = {
        "lora": LoraConfig(task_type="CAUSAL_LM", r=4, init_lora_weights=False, target_modules=["q_proj", "up_proj"]),
        "p_tuning": PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=5, encoder_hidden_size=16),
    }[kind]
    torch.manual_seed(0)
    model = get_peft_model(llama(), config)
    model.eval()
    asked = requests(6)
    given = TransformersGenerator(model).generate(asked, SAMPLING)
    for request, one in zip(asked, given):
        np.testing.assert_allclose(one.logprobs, forward_logprobs(model, request, one), atol=1e-5)
    bare = TransformersGenerator(llama()).generate(asked, SAMPLING)
    assert not all(map(same, given, bare))
    if kind == "p_tuning":
        with pytest.raises(RolloutError, match="has 470 tokens and 5 virtual ones, which with max_tokens 40 is past"):
            TransformersGenerator(model).generate([Request(np.ones(470, np.int64), 0)], SAMPLING)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([], "prompt 1 is empty"),
        ([1] * 473, "prompt 1 has 473 tokens, which with max_tokens 40 is past the model's 512 positions"),
        ([1, VOCAB], f"prompt 1 holds token {VOCAB}; the model's vocabulary is {VOCAB}"),
        ([1, -1], "prompt 1 holds token -1"),
    ],
)
def test_prompts_the_model_cannot_read_are_refused(model, prompt, message):
    asked = [*requests(1), Request(np.array(prompt, np.int64), 0)]
    with pytest.raises(RolloutError, match=message):
        TransformersGenerator(model).generate(asked, SAMPLING)


def test_a_model_that_gives_no_numbers_is_found_out():
    model = llama()
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    with pytest.raises(RolloutError, match="logits are no numbers at token 0"):
        TransformersGenerator(model).generate(requests(2), SAMPLING)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="holds no causal language model"):
        TransformersGenerator.load(str(tmp_path))


def test_no_request_is_no_work(model):
    assert TransformersGenerator(model).generate([], SAMPLING) == []
    with pytest.raises(AlignSettingsError, match=r"rollouts\.max_tokens is 0"):
        TransformersGenerator(model).generate([], Sampling(max_tokens=0))
