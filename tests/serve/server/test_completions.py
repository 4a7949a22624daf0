"""POST /v1/completions, against transformers and against itself."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.serve.server.serving import events


@pytest.fixture(scope="module")
def oracle(folder):
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def greedy(oracle, prompt, count):
    model, tokenizer = oracle
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    made = model.generate(ids, max_new_tokens=count, do_sample=False, eos_token_id=None, pad_token_id=0)
    return made[0, ids.shape[1] :].tolist()


def test_greedy_tokens_and_text_are_those_of_transformers(server, oracle):
    made = server.complete("the quick brown", max_tokens=20, temperature=0, ignore_eos=True, return_token_ids=True)
    expected = greedy(oracle, "the quick brown", 20)
    assert made["choices"][0]["token_ids"] == expected
    assert made["choices"][0]["text"] == oracle[1].decode(expected, skip_special_tokens=True)
    assert made["usage"] == {"prompt_tokens": 3, "completion_tokens": 20, "total_tokens": 23}
    assert made["choices"][0]["finish_reason"] == "length"


def test_logprobs_of_prompt_and_completion_are_those_of_a_forward_pass(server, oracle):
    model, tokenizer = oracle
    made = server.complete(
        "the quick brown fox",
        max_tokens=5,
        temperature=0,
        echo=True,
        logprobs=2,
        ignore_eos=True,
        return_token_ids=True,
    )["choices"][0]
    ids = made["token_ids"]
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    told = made["logprobs"]
    assert told["token_logprobs"][0] is None
    rows = expected[range(len(ids) - 1), ids[1:]]
    assert told["token_logprobs"][1:] == pytest.approx(rows.tolist(), abs=1e-4)
    assert [max(one.values()) for one in told["top_logprobs"][1:]] == pytest.approx(
        expected[:-1].max(-1).values.tolist(), abs=1e-4
    )
    assert made["text"] == "the quick brown fox" + tokenizer.decode(ids[-5:], skip_special_tokens=True)
    assert len(told["tokens"]) == len(told["text_offset"]) == len(ids)


def test_a_prompt_is_scored_where_no_token_is_asked_for(server):
    made = server.complete("the quick brown", max_tokens=0, echo=True, logprobs=0)
    assert made["choices"][0]["text"] == "the quick brown"
    assert made["choices"][0]["logprobs"]["tokens"] == ["the", " quick", " brown"]
    assert made["usage"]["completion_tokens"] == 0


def test_prompts_may_be_texts_or_token_ids_and_answers_keep_their_order(server, oracle):
    texts = ["the lazy dog", "one to nine", "jumps over"]
    ids = [oracle[1](one).input_ids for one in texts]
    asked = {"max_tokens": 6, "temperature": 0, "n": 2}
    both = [server.complete(one, **asked) for one in (texts, ids)]
    single = [server.complete(one, **asked)["choices"][0]["text"] for one in texts]
    for made in both:
        assert [one["index"] for one in made["choices"]] == list(range(6))
        assert [one["text"] for one in made["choices"][::2]] == single


def test_a_seed_gives_the_same_completions_and_n_of_them_differ(server):
    asked = {"max_tokens": 12, "seed": 7, "n": 3, "temperature": 1.5}
    first, again = (server.complete("the", **asked)["choices"] for _ in range(2))
    assert [one["text"] for one in first] == [one["text"] for one in again]
    assert len({one["text"] for one in first}) == 3
    assert server.complete("the", **asked | {"n": 1})["choices"][0]["text"] == first[0]["text"]
    assert server.complete("the", **asked | {"seed": 8})["choices"][0]["text"] != first[0]["text"]


@pytest.mark.parametrize("seed", range(4))
def test_a_stream_joined_is_the_whole_answer(server, seed):
    asked = {"prompt": "the fox", "max_tokens": 60, "seed": seed, "n": 2, "logprobs": 1}
    whole = server.post("/v1/completions", asked).json()
    told = events(
        server.post("/v1/completions", asked | {"stream": True, "stream_options": {"include_usage": True}}).text
    )
    assert told[-1] == "[DONE]"
    assert told[-2]["usage"] == whole["usage"]
    assert told[-2]["choices"] == []
    for number, choice in enumerate(whole["choices"]):
        pieces = [one["choices"][0] for one in told[:-2] if one["choices"][0]["index"] == number]
        assert "".join(one["text"] for one in pieces) == choice["text"]
        assert [t for one in pieces for t in one["logprobs"]["tokens"]] == choice["logprobs"]["tokens"]
        assert [t for one in pieces for t in one["logprobs"]["text_offset"]] == choice["logprobs"]["text_offset"]
        assert [one["finish_reason"] for one in pieces if one["finish_reason"]] == [choice["finish_reason"]]


def test_a_stop_string_cuts_text_tokens_and_logprobs(server):
    asked = {"max_tokens": 40, "temperature": 0, "logprobs": 0, "ignore_eos": True, "return_token_ids": True}
    free = server.complete("the quick", **asked)["choices"][0]
    stop = free["text"][10:13]  # across tokens: a random model draws mostly single characters
    for stream in (False, True):
        response = server.post("/v1/completions", {"prompt": "the quick", **asked, "stop": [stop], "stream": stream})
        if stream:
            pieces = [one["choices"][0] for one in events(response.text)[:-1]]
            text, finish = "".join(one["text"] for one in pieces), pieces[-1]["finish_reason"]
            offsets = [one for piece in pieces for one in piece["logprobs"]["text_offset"]]
        else:
            choice = response.json()["choices"][0]
            text, finish, offsets = choice["text"], choice["finish_reason"], choice["logprobs"]["text_offset"]
        cut = free["text"].index(stop)
        assert (text, finish) == (free["text"][:cut], "stop")
        assert offsets == [one for one in free["logprobs"]["text_offset"] if one < cut]


def test_the_end_token_ends_a_completion_and_is_counted_but_not_shown(server, oracle):
    end = oracle[1].eos_token_id
    made = server.complete("the", max_tokens=30, logit_bias={str(end): 100}, temperature=0)
    assert made["choices"][0] == {"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}
    assert made["usage"]["completion_tokens"] == 1
    made = server.complete("the", max_tokens=3, logit_bias={str(end): 100}, temperature=0, ignore_eos=True)
    assert (made["choices"][0]["finish_reason"], made["usage"]["completion_tokens"]) == ("length", 3)


def test_a_stop_token_ends_a_completion(server):
    free = server.complete("the quick", max_tokens=9, temperature=0, ignore_eos=True, return_token_ids=True)
    ids = free["choices"][0]["token_ids"]
    asked = {"max_tokens": 9, "temperature": 0, "stop_token_ids": [ids[4]], "return_token_ids": True}
    made = server.complete("the quick", **asked)["choices"][0]
    assert made["token_ids"] == ids[: ids.index(ids[4]) + 1]
    assert made["finish_reason"] == "stop"


def test_drawing_settings_reach_the_engine(server):
    likely = server.complete("the quick", max_tokens=10, temperature=0)["choices"][0]["text"]
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}, {"temperature": 1e-9}):
        assert server.complete("the quick", max_tokens=10, **narrow)["choices"][0]["text"] == likely
    forced = server.complete("the quick", max_tokens=4, logit_bias={"40": 100}, return_token_ids=True)
    assert forced["choices"][0]["token_ids"] == [40] * 4
    varied = server.complete("the quick", max_tokens=40, temperature=0, frequency_penalty=2, return_token_ids=True)
    plain = server.complete("the quick", max_tokens=40, temperature=0, return_token_ids=True)
    assert len(set(varied["choices"][0]["token_ids"])) > len(set(plain["choices"][0]["token_ids"]))


def test_requests_at_once_get_their_own_answers(server, oracle):
    from concurrent.futures import ThreadPoolExecutor

    rng = np.random.default_rng(0)
    prompts = [rng.integers(4, 300, rng.integers(1, 30)).tolist() for _ in range(24)]
    asked = {"max_tokens": 12, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
    with ThreadPoolExecutor(12) as pool:
        made = list(pool.map(lambda one: server.complete(one, **asked)["choices"][0]["token_ids"], prompts))
    model = oracle[0]
    for prompt, ids in zip(prompts, made):
        expected = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), max_new_tokens=12,
            do_sample=False, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        assert ids == expected[0, len(prompt) :].tolist()
