"""Whatever a client sends gets a status and one line in OpenAI's form, and never 500."""

import json
import socket

import pytest

URL = "/v1/completions"


def raw(server, content, **headers):
    with server.client() as client:
        return client.post(URL, content=content, headers={"content-type": "application/json", **headers})


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"{", "no JSON"),
        (b"[1]", "a list"),
        (b"null", "null"),
        (b'{"prompt": "a" "b"}', "no JSON"),
        (b'{"prompt": "\xff"}', "no UTF-8"),
        (b'{"prompt": "\\ud800"}', "half a character"),
        (b'{"\\udfff": 1}', "half a character"),
        (b'{"prompt": "a", "temperature": NaN}', "NaN"),
        (b'{"prompt": "a", "temperature": 1e999}', "too large"),
        (b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}", "too long"),
        (b'{"prompt": "a", "prompt": "b"}', "twice"),
        (b"[" * 100_000, "nested"),
        (b'{"prompt": ' + b"[" * 200 + b"]" * 200 + b"}", "nested"),
        (b"\x00\x01\x02", "no JSON"),
    ],
    ids=lambda one: str(one)[:24],
)
def test_bodies_that_are_no_sound_json(server, content, word):
    response = raw(server, content)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert word in error["message"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": -1}, {"max_tokens": 1.5}, {"max_tokens": "5"}, {"max_tokens": True}, {"max_tokens": 10**30},
        {"max_tokens": 0}, {"temperature": -0.1}, {"temperature": 3}, {"temperature": "hot"}, {"temperature": [1]},
        {"top_p": 0}, {"top_p": 1.1}, {"top_k": -2}, {"min_p": 2}, {"n": 0}, {"n": 1000}, {"n": None, "best_of": 2},
        {"seed": 2**64}, {"seed": 0.5}, {"stop": ""}, {"stop": [""]}, {"stop": ["a"] * 17}, {"stop": {"a": 1}},
        {"stop": "a" * 1001},
        {"stop": [1]}, {"logprobs": 21}, {"logprobs": True}, {"logit_bias": {"a": 1}}, {"logit_bias": {"1": 101}},
        {"logit_bias": [1]}, {"logit_bias": {"-1": 1}}, {"logit_bias": {"999999": 1}}, {"stop_token_ids": [10**6]},
        {"presence_penalty": 9}, {"frequency_penalty": -9}, {"stream": "yes"}, {"stream_options": {}},
        {"stream": True, "stream_options": {"usage": True}}, {"echo": 1}, {"suffix": "x"}, {"model": 5},
        {"prompt": None}, {"prompt": 5}, {"prompt": []}, {"prompt": [[]]}, {"prompt": ["a", 1]}, {"prompt": {"a": 1}},
        {"prompt": [-1]}, {"prompt": [10**6]}, {"prompt": [1.5]}, {"prompt": [True]}, {"prompt": ""},
        {"prompt": ["a"] * 40}, {"prompt": [5] * 256}, {"prompt": [5] * 250, "max_tokens": 7},
        {"prompt": "the quick " * 40_000}, {"temprature": 1}, {"user": "a", "store": True},
    ],
    ids=lambda one: str(one)[:40],
)  # fmt: skip
def test_fields_that_cannot_be(server, fields):
    error = server.refused({"prompt": "a", "max_tokens": 2, **fields})
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 300


def test_a_misspelt_field_is_named_with_the_nearest(server):
    error = server.refused({"prompt": "a", "temprature": 1})
    assert (error["param"], error["code"]) == ("temprature", "unknown_parameter")
    assert "Did you mean temperature?" in error["message"]


def test_a_body_of_ten_megabytes_is_refused_and_the_client_hears_why(server):
    response = raw(server, json.dumps({"prompt": "x" * 10_000_000}).encode())
    assert response.status_code == 413
    assert "10,000,0" in response.json()["error"]["message"]

    def parts():
        for _ in range(100):
            yield b"x" * 100_000

    with server.client() as client:  # chunked: without a length
        assert client.post(URL, content=parts()).status_code == 413


def test_another_model_is_not_found_with_the_nearest_named(server):
    error = server.refused({"prompt": "a", "model": "tinny"}, 404)
    assert error["code"] == "model_not_found"
    assert "Did you mean tiny?" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/nothing", 404), ("GET", URL, 405), ("POST", "/health", 405)]
)
def test_paths_and_methods_that_are_none(server, method, path, status):
    with server.client() as client:
        response = client.request(method, path)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_a_language_model_scores_nothing(server):
    error = server.refused({"texts": ["a"]}, path="/v1/score")
    assert error["code"] == "wrong_kind"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01", b"400"), (b"GET / HTTP/9\r\n\r\n", b"400"), (b"GARBAGE\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 100_000, b"431"), (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000, b"431"),
    ],
)  # fmt: skip
def test_what_is_no_http_is_told_so_noted_and_the_connection_ends(server, content, status):
    before = len([one for one in server.lines() if one["route"] == "none"])
    answer = told(server, content)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 " + status)
    if answer:
        lines = [one for one in server.lines() if one["route"] == "none"]
        assert len(lines) == before + 1
        assert lines[-1]["status"] == int(status)
        assert server.metric(f'millrace_requests_total{{route="none",status="{int(status)}"}}') >= 1


def told(server, content):
    with server.socket() as one:
        one.sendall(content)
        one.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := one.recv(65536):
                answer += part
        except ConnectionResetError:  # it read no further
            pass
    return answer


def test_a_request_with_two_lengths_is_refused_and_what_it_hides_is_not_answered(server):
    hidden = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    content = (
        f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Length: {5 + len(hidden)}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    answer = told(server, content + b"0\r\n\r\n" + hidden)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"Transfer-Encoding" in answer
    assert answer.count(b"HTTP/1.1") == 1


def test_a_slash_too_many_is_404_and_no_redirect_to_the_host_of_the_client(server):
    with server.client() as client:
        response = client.get("/health/", headers={"host": "elsewhere.example"})
    assert response.status_code == 404
    assert "location" not in response.headers
    assert response.json()["error"]["code"] == "not_found"


def test_one_model_is_told_of_by_its_name(server):
    import openai

    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        assert client.models.retrieve("tiny") == client.models.list().data[0]
        with pytest.raises(openai.NotFoundError, match="Did you mean tiny"):
            client.models.retrieve("tinny")


def test_after_all_this_the_server_answers(server):
    assert server.complete("the", max_tokens=2)["usage"]["completion_tokens"] == 2
    assert not [one for one in server.lines() if one["status"] == 500]
