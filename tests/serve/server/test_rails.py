"""Rails in the path of requests."""

import asyncio
import time

import httpx
import pytest

from serve.rails.rail import Verdict
from serve.rails.rails import Place, Placed
from serve.rails.regex import Regex
from serve.rails.words import Words
from tests.serve.server.serving import events, fronted, served, until

CHAT = "/v1/chat/completions"


def words(*listed):
    made = Words(words=listed)
    made.prepare()
    return made


@pytest.fixture(scope="module")
def railed(folder, tmp_path_factory):
    """Return a server that refuses a word of prompts, hides another, and a front before it with a rail on answers."""
    tmp = tmp_path_factory.mktemp("rails")
    rails = [
        Placed(Place("forbidden", "refuse", "input", "Not that."), words("fox")),
        Placed(Place("hidden", "redact", "input"), words("lazy")),
    ]
    with served(folder, tmp / "log.jsonl", rails=rails) as one:
        yield one


def letters(action):
    made = Regex(("." if action == "refuse" else "[a-z0-9]",))
    made.prepare()
    return made


@pytest.fixture(scope="module", params=["engine", "upstream"])
def guarded(request, folder, server, tmp_path_factory):
    """Return servers, before an engine and before another server, that refuse every answer."""
    log = tmp_path_factory.mktemp("guarded") / "log.jsonl"
    rails = [Placed(Place("all", "refuse", "output", "I had rather not."), letters("refuse"))]
    with served(folder, log, rails=rails) if request.param == "engine" else fronted(server.url, log, rails) as one:
        yield one


def test_a_prompt_that_is_refused_reaches_no_model(railed):
    before = railed.engine.load().prompt_tokens
    for path, body in (
        ("/v1/completions", {"prompt": ["the", "the fox"]}),
        ("/v1/completions", {"prompt": [10, 11]} | {"prompt": "a fox"}),
        (CHAT, {"messages": [{"role": "user", "content": "a fox"}]}),
        (CHAT, {"messages": [{"role": "assistant", "content": "a fox"}, {"role": "user", "content": "go on"}]}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "a fox"}]}], "stream": True}),
        (CHAT, {"messages": [{"role": "user", "content": "hi"}],
                "tools": [{"type": "function", "function": {"name": "f", "description": "a fox"}}]}),
    ):  # fmt: skip
        error = railed.refused(body, path=path)
        assert (error["code"], error["message"]) == ("content_filter", "Not that.")
    assert railed.engine.load().prompt_tokens == before
    railed.line(rails=["forbidden"])
    assert railed.metric('millrace_rail_verdicts_total{outcome="refused",rail="forbidden",side="input"}') == 6


def test_token_ids_are_read_as_their_text(railed, folder):
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)("the quick brown fox").input_ids
    assert railed.refused({"prompt": ids})["code"] == "content_filter"


def test_what_is_hidden_is_hidden_from_the_model(railed):
    made = railed.complete("the lazy dog", max_tokens=1, echo=True)["choices"][0]
    assert "lazy" not in made["text"]
    assert made["text"].startswith("the ")


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_refused_leaves_no_part_of_itself(guarded, stream):
    asked = {"max_tokens": 12, "ignore_eos": True, "stream": stream, "seed": 1, "n": 2}
    chat = guarded.post(CHAT, {"messages": [{"role": "user", "content": "the"}], "logprobs": True, **asked})
    plain = guarded.post("/v1/completions", {"prompt": "the", "logprobs": 1, "return_token_ids": True, **asked})
    assert chat.status_code == plain.status_code == 200, chat.text + plain.text
    for response, name in ((chat, "content"), (plain, "text")):
        if stream:
            told = events(response.text)
            assert told[-1] == "[DONE]"
            choices = [one["choices"][0] for one in told[:-1]]
            for number in range(2):
                mine = [one for one in choices if one["index"] == number]
                texts = [(one.get("delta") or one).get(name) or "" for one in mine]
                assert "".join(texts) == "I had rather not."
                assert [one["finish_reason"] for one in mine if one["finish_reason"]] == ["content_filter"]
        else:
            choices = response.json()["choices"]
            assert [(one.get("message") or one)[name] for one in choices] == ["I had rather not."] * 2
            assert {one["finish_reason"] for one in choices} == {"content_filter"}
        assert not any(one.get("logprobs") for one in choices)
        assert not any(one.get("token_ids") for one in choices)


def test_an_answer_that_is_changed_leaves_changed(folder, tmp_path):
    rails = [Placed(Place("letters", "redact", "output"), letters("redact"))]
    with served(folder, tmp_path / "log.jsonl", rails=rails) as one:
        choice = one.complete("the", max_tokens=40, seed=1, logprobs=1)["choices"][0]
        assert choice["finish_reason"] == "length"
        assert choice["logprobs"] is None


def test_a_rail_that_cannot_decide_lets_nothing_pass(folder, tmp_path):
    from serve.rails.judge import JudgeRail

    rails = [Placed(Place("judge", "refuse", "input"), JudgeRail("http://127.0.0.1:9/v1", "none", attempts=1))]
    with served(folder, tmp_path / "log.jsonl", rails=rails) as one:
        assert one.refused({"prompt": "the"}, 503)["code"] == "rail_failed"
        assert one.metric("millrace_engine_running") == 0


class Slow:
    """A rail that counts the texts it reads, a while for each."""

    kind, actions = "slow", ("refuse", "redact", "flag")

    def __init__(self):
        self.read = 0

    def check(self, text, side, before):
        self.read += 1
        time.sleep(0.05)
        return Verdict(True, text)


@pytest.fixture(scope="module")
def slowly(folder, tmp_path_factory):
    """Return a server with a slow rail on prompts, and that rail."""
    rail = Slow()
    with served(
        folder, tmp_path_factory.mktemp("slow") / "log", rails=[Placed(Place("slow", "refuse", "input"), rail)]
    ) as one:
        yield one, rail


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": [{"role": ("user", "assistant")[n % 2], "content": "a"} for n in range(5001)]}),
        (CHAT, {"messages": [{"role": ("user", "assistant")[n % 2], "content": "the quick"} for n in range(201)]}),
        (CHAT, {"messages": [{"role": "user", "content": ["a b"] * 5000}]}),
        ("/v1/completions", {"prompt": [7] * 300_000}),
        ("/v1/completions", {"prompt": ["a", "the quick " * 300]}),
        ("/v1/completions", {"prompt": "a", "max_tokens": 256}),
    ],
    ids=["many messages", "many tokens", "many parts", "ids", "text", "too much to draw"],
)  # fmt: skip
def test_what_is_too_long_is_so_before_rails_read_it(slowly, path, body):
    server, rail = slowly
    before = rail.read
    assert server.refused(body, path=path)["code"] == "context_length_exceeded"
    assert rail.read == before


def test_rails_read_no_more_for_a_client_that_left(slowly):
    server, rail = slowly
    before = rail.read
    talk = [{"role": ("user", "assistant")[n % 2], "content": "a", "name": "b"} for n in range(15)]
    with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=server.url, timeout=0.2) as client:
        client.post(CHAT, json={"messages": talk, "max_tokens": 1})
    until(lambda: server.front.under_way == 0)
    time.sleep(0.1)
    seen = rail.read
    assert before < seen < before + 30
    time.sleep(0.2)
    assert rail.read == seen


def test_more_texts_than_rails_read_are_refused():
    from serve.rails.rails import Rails
    from serve.server.checks import MOST_TEXTS, Checks
    from serve.server.record import Record
    from serve.server.refusal import Refusal

    rail = Slow()
    checks = Checks(Rails([Placed(Place("slow", "refuse", "input"), rail)]))
    talk = [{"role": "user", "content": ["a"] * (MOST_TEXTS + 1)}]
    with pytest.raises(Refusal, match="4,097 texts"):
        asyncio.run(checks.conversation(talk, (), Record(CHAT)))
    assert rail.read == 0
    checks.close()
