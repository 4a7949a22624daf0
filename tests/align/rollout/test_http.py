from __future__ import annotations

import socket

import pytest
import torch

from align.errors import AlignSettingsError, RolloutError
from align.rollout.engines import TENSORRT_LLM, VLLM
from align.rollout.generator import Sampling
from align.rollout.http import HttpGenerator
from align.rollout.transformers import TransformersGenerator
from tests.align.rollout.server import Server
from tests.align.rollout.tiny import llama, requests, same

SAMPLING = Sampling(max_tokens=12, stop=(3, 9))


@pytest.fixture
def server():
    with Server(llama(), VLLM) as one:
        yield one


def generator(server, **settings):
    return HttpGenerator(server.url, **{"first_wait_seconds": 0.001, "deadline_seconds": 30, **settings})


@pytest.mark.parametrize("dialect", [VLLM, TENSORRT_LLM], ids=["vllm", "tensorrt_llm"])
def test_a_server_gives_what_its_model_gives_here(dialect):
    asked = requests(10)
    expected = TransformersGenerator(llama(), version=5).generate(asked, SAMPLING)
    with Server(llama(), dialect) as server:
        given = generator(server, version=5).generate(asked, SAMPLING)
    assert all(map(same, given, expected))
    assert {one.finish for one in given} == {"stop", "length"}


def test_no_more_are_asked_for_at_once_than_allowed(server):
    generator(server, concurrency=3).generate(requests(12), SAMPLING)
    assert 1 < server.most_at_once <= 3
    assert generator(server).generate([], SAMPLING) == []


def test_what_passes_is_asked_again(server):
    server.plan.extend(["500", "429", "503", ""])
    asked = requests(1)
    given = generator(server).generate(asked, SAMPLING)
    assert all(map(same, given, TransformersGenerator(llama()).generate(asked, SAMPLING)))
    assert server.asked["/v1/completions"] == 4


def test_what_does_not_pass_is_said_at_once(server):
    server.plan.append("400")
    with pytest.raises(RolloutError, match=r"/v1/completions answers HTTP 400: told to answer 400"):
        generator(server).generate(requests(1), SAMPLING)
    assert server.asked["/v1/completions"] == 1


@pytest.mark.parametrize(("words", "said"), [(["hang"], "TimeoutError"), (["500"] * 1000, "HTTP 500: told to answer")])
def test_the_deadline_ends_it_all(server, words, said):
    server.plan.extend(words)
    with pytest.raises(RolloutError, match=rf"gave no answer in 0\.3 s; the last was {said}"):
        generator(server, deadline_seconds=0.3).generate(requests(1), SAMPLING)


def test_a_server_that_is_not_there_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RolloutError, match=rf"{url}/v1/models gave no answer .* ConnectionRefusedError"):
            HttpGenerator(url, deadline_seconds=0.1, first_wait_seconds=0.01).generate(requests(1), SAMPLING)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("short", r"\d+ tokens, but \d+ log-probabilities"),
        ("no logprobs", "no logprobs.token_logprobs"),
        ("null logprob", "the log-probability of token 0 is None"),
        ("text", "it has no token_ids"),
        ("cut", "it ends after 2 of 12 tokens: the server's own limit is lower"),
        ("other end", "finish_reason is 'abort'"),
        ("false stop", "it stopped at token 50, which is none of the stop tokens"),
        ("list", "it has no one choice"),
    ],
)
def test_a_completion_that_cannot_be_trusted_is_refused(server, word, message):
    server.plan.append(word)
    with pytest.raises(RolloutError, match=message):
        generator(server).generate(requests(1, seed=3), SAMPLING)


def test_token_ids_may_come_as_names_of_tokens(server):
    server.plan.append("no ids")
    asked = requests(1)
    assert all(
        map(same, generator(server).generate(asked, SAMPLING), TransformersGenerator(llama()).generate(asked, SAMPLING))
    )


def test_an_update_counts_once_the_server_has_the_weights(server, tmp_path):
    asked, trained = requests(6), llama(seed=1)
    mine = generator(server, folder=str(tmp_path))
    mine.update(trained.named_parameters(), 1)
    assert server.asked["/reset_prefix_cache"] == 1
    expected = TransformersGenerator(trained, version=1).generate(asked, SAMPLING)
    assert all(map(same, mine.generate(asked, SAMPLING), expected))


def test_an_update_the_server_refuses_keeps_the_version(server, tmp_path):
    mine = generator(server, folder=str(tmp_path), deadline_seconds=1.5, version=4)
    with pytest.raises(
        RolloutError, match=r"no weight unknown.*version 5; the server is started as VLLM_SERVER_DEV_MODE"
    ):
        mine.update([("unknown", torch.zeros(2))], 5)
    assert mine.version == 4


def test_servers_that_take_no_weights_say_so(tmp_path):
    with Server(llama(), TENSORRT_LLM) as server:
        with pytest.raises(RolloutError, match="tensorrt_llm, which loads no weights over HTTP"):
            generator(server, folder=str(tmp_path)).update([], 1)
        with pytest.raises(RolloutError, match="which cannot sleep: give it devices of its own"):
            generator(server, sleeps=True).sleep()
    with Server(llama(), VLLM) as server, pytest.raises(RolloutError, match="gets its weights by a folder"):
        generator(server).update([], 1)


def test_a_server_on_the_trainers_devices_sleeps_and_wakes(server):
    asked = requests(2)
    mine = generator(server, sleeps=True)
    before = mine.generate(asked, SAMPLING)
    mine.sleep()
    mine.wake()
    assert (server.asked["/sleep?level=1"], server.asked["/wake_up"]) == (1, 1)
    assert all(map(same, before, mine.generate(asked, SAMPLING)))
    generator(server).sleep()  # on devices of its own
    assert server.asked["/sleep?level=1"] == 1


def test_the_url_and_the_model_are_checked(server):
    with pytest.raises(AlignSettingsError, match=r"rollouts\.url is 'localhost:8000'"):
        HttpGenerator("localhost:8000")
    with pytest.raises(RolloutError, match="has no model big; it has tiny"):
        generator(server, model="big").generate(requests(1), SAMPLING)
