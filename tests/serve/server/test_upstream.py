"""The front before another server: a real one of our own behind it."""

import json
import socket
import threading
from contextlib import contextmanager

import openai
import pytest

from tests.serve.server.serving import events, fronted, until
from tests.serve.server.test_connections import endless, head

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def front(server, tmp_path_factory):
    place = tmp_path_factory.mktemp("front")
    (place / "keys").write_text("alice secret-of-alice tokens_a_minute=100000\nbob secret-of-bob tokens_a_minute=60\n")
    with fronted(server.url + "/v1/", place / "log.jsonl", keys=str(place / "keys"), max_tokens=300) as one:
        yield one


KEY = {"Authorization": "Bearer secret-of-alice"}


@pytest.fixture
def client(front):
    with openai.OpenAI(base_url=f"{front.url}/v1", api_key="secret-of-alice", max_retries=0) as made:
        yield made


def test_answers_are_those_of_the_server_behind(server, front, client):
    asked = {"prompt": "the quick", "max_tokens": 9, "seed": 5, "logprobs": 2, "n": 2, "return_token_ids": True}
    here, there = (one.post("/v1/completions", asked, headers=KEY).json() for one in (front, server))
    assert (here["choices"], here["usage"]) == (there["choices"], there["usage"])
    line = front.line(route="/v1/completions")
    assert [one.id for one in client.models.list()] == ["tiny"]
    assert (line["key"], line["prompt_tokens"], line["completion_tokens"]) == ("alice", 2, 18)


def test_streams_pass_through_and_are_counted(server, front, client):
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "the"}], "max_tokens": 12, "seed": 2}
    whole = client.chat.completions.create(**asked)
    for options in (None, {"include_usage": True}):
        chunks = list(client.chat.completions.create(**asked, stream=True, stream_options=options or openai.omit))
        text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
        assert text == whole.choices[0].message.content
        assert [one.usage for one in chunks if one.usage] == ([whole.usage] if options else [])
        line = front.line(stream=True)
        assert line["completion_tokens"] == whole.usage.completion_tokens
        assert "first_token_seconds" in line


def test_keys_and_limits_hold_before_the_other_server(server, front):
    before = server.metric('millrace_requests_total{route="/v1/completions",status="200"}')
    assert front.refused({"prompt": "a"}, 401)["code"] == "invalid_api_key"
    assert front.refused({"prompt": "a", "max_tokens": 301}, headers=KEY)["param"] == "max_tokens"
    assert front.refused({"prompt": "a", "n": 33}, headers=KEY)["param"] == "n"
    bob = {"Authorization": "Bearer secret-of-bob"}
    assert front.post("/v1/completions", {"prompt": "the", "max_tokens": 40}, headers=bob).status_code == 200
    assert front.refused({"prompt": "the", "max_tokens": 40}, 429, headers=bob)["code"] == "rate_limit_exceeded"
    assert server.metric('millrace_requests_total{route="/v1/completions",status="200"}') == before + 1


def test_errors_of_the_other_server_come_in_its_words(front):
    error = front.refused({"prompt": "a", "temprature": 1}, headers=KEY)
    assert (error["param"], error["code"]) == ("temprature", "unknown_parameter")
    assert front.refused({"prompt": "a", "model": "no"}, 404, headers=KEY)["code"] == "model_not_found"
    assert front.refused({"prompt": "a", "stream": True, "top_p": 7}, headers=KEY)["param"] == "top_p"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_the_front_leaves_the_engine_behind(server, front, stream):
    content = json.dumps(endless(stream=stream, n=4)).encode()
    with front.socket() as one:
        one.sendall(
            head(len(content)).replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer secret-of-alice\r\n\r\n") + content
        )
        until(lambda: server.engine.load().running == 4)
    until(lambda: server.engine.load().running == 0, 2.0)
    front.line(status=499)


@contextmanager
def broken(answer):
    """Give the address of a server that answers every request with given bytes; None: with nothing, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held = []

        def run():
            while True:
                try:
                    one, _ = listening.accept()
                except OSError:
                    return
                held.append(one)
                one.recv(65536)
                if answer is not None:
                    one.sendall(answer)
                    one.shutdown(socket.SHUT_WR)
                    while one.recv(65536):  # closed with something unread it would take the answer back
                        pass
                    one.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        for one in held:
            one.close()
    thread.join()


def http(status, body, kind="application/json"):
    return f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("answer", "status", "word"),
    [
        (http(500, "oops"), 502, "answered 500"),
        (http(503, '{"error": {"message": "busy now"}}'), 502, "busy now"),
        (http(401, '{"error": {"message": "bad key"}}'), 502, "bad key"),
        (http(400, '{"object": "error", "message": "vllm says no", "type": "BadRequestError"}'), 400, "vllm says no"),
        (http(422, '{"detail": [{"loc": ["body"]}]}'), 422, "loc"),
        (http(429, "{}"), 429, "busy"),
        (http(200, "not json"), 502, "no JSON object"),
        (http(200, "[]"), 502, "no JSON object"),
        (http(200, '{"choices": 5}'), 502, "another form"),
        (http(200, '{"choices": [{"text": 5}]}'), 502, "another form"),
        (http(200, '{"choices": [{"index": 0, "text": "\\ud800"}]}'), 502, "sound text"),
        (http(200, '{"choices": [{"index": 0, "text": "a", "score": NaN}]}'), 502, "finite"),
        (http(200, "[" * 200_000), 502, "no JSON object"),
        (http(500, "[" * 200_000), 502, "answered 500"),
        (b"garbage\r\n\r\n", 502, "RemoteProtocolError"),
        (b"", 502, "RemoteProtocolError"),
        (None, 504, "more than 0.6 seconds"),
    ],
    ids=lambda one: str(one)[:30],
)
def test_a_server_that_fails_is_told_in_openais_form(tmp_path, answer, status, word):
    with broken(answer) as url, fronted(url, tmp_path / "log.jsonl", seconds=0.6) as front:
        assert word in front.refused({"prompt": "a"}, status)["message"]


def completion(**more):
    return http(200, json.dumps({"choices": [{"index": 0, "text": "a", "finish_reason": "stop"}], **more}))


def test_counts_that_cannot_be_are_not_counted_and_the_line_is_written(tmp_path):
    answer = completion(usage={"prompt_tokens": 10**400, "completion_tokens": 1})
    with broken(answer) as url, fronted(url, tmp_path / "log.jsonl") as front:
        assert front.complete("a")["choices"][0]["text"] == "a"
        assert "prompt_tokens" not in front.line(status=200)


def test_no_word_of_a_client_or_of_the_other_server_is_a_label(tmp_path):
    answer = completion(usage={"prompt_tokens": 3, "completion_tokens": 1})
    with broken(answer) as url, fronted(url, tmp_path / "log.jsonl") as front:
        for number in range(3):
            front.complete("a", model=f"made-up-{number}")
        assert front.metric('millrace_prompt_tokens_total{model="upstream"}') == 9
        with front.client() as client:
            assert "made-up" not in client.get("/metrics").text
    answer = http(400, '{"error": {"message": "no", "code": "a-word-of-its-own"}}')
    with broken(answer) as url, fronted(url, tmp_path / "log2.jsonl") as front:
        assert front.refused({"prompt": "a"})["code"] == "a-word-of-its-own"
        assert front.metric('millrace_rejected_total{reason="upstream_refused"}') == 1
        with front.client() as client:
            assert "a-word" not in client.get("/metrics").text


def test_a_stream_that_breaks_ends_with_an_error(tmp_path):
    begun = 'data: {"choices": [{"index": 0, "text": "a"}]}\n\n'
    for body in (begun, begun + "data: {broken\n\n", begun + 'data: {"error": {"message": "it broke"}}\n\n'):
        with broken(http(200, body, "text/event-stream")) as url, fronted(url, tmp_path / "log.jsonl") as front:
            told = events(front.post("/v1/completions", {"prompt": "a", "stream": True}).text)
            assert told[0]["choices"][0]["text"] == "a"
            assert told[-1]["error"]["code"] == "upstream_error"


def test_nobody_there_is_502_and_health_says_so(tmp_path, server):
    with fronted("http://127.0.0.1:9", tmp_path / "log.jsonl") as front, front.client() as client:
        assert front.refused({"prompt": "a"}, 502)["code"] == "upstream_error"
        health = client.get("/health")
        assert health.status_code == 503
        assert health.json()["status"] == "failing"
    with fronted(server.url, tmp_path / "log2.jsonl") as front, front.client() as client:
        assert client.get("/health").status_code == 200
