"""A judge behind a URL: a real server on a loopback port."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from align.errors import AlignSettingsError, RewardError
from align.rewards.judge import Judge, choice
from tests.align.rewards.made import completion
from tests.align.rewards.server import completion as answer_body
from tests.align.rewards.server import served


def judge(url: str, **settings: Any) -> Judge:
    return Judge(url, "a-judge", **({"wait_seconds": 0.0, "seconds": 20.0} | settings))


def asked(body: dict[str, Any]) -> str:
    return body["messages"][0]["content"]


def test_scores_become_rewards_in_order_and_the_question_holds_everything():
    with served(lambda body: f"Well.\nScore: {asked(body).count('good') * 3 + 1}") as server:
        given = [completion("good " * n, prompt=f"task {n}", answer="forty-two") for n in (3, 0, 1)]
        rewards = judge(
            server.url, rubric="Is it kind?", template="{rubric}|{prompt}|{completion}|{answer}|{low}-{high}|{other}"
        )(given)
    assert rewards == pytest.approx([1, 0, 1 / 3])
    questions = {asked(body) for body in server.requests}
    assert "Is it kind?|task 1|good |forty-two|1-10|{other}" in questions
    request = server.requests[0]
    assert (request["model"], request["temperature"], request["path"]) == ("a-judge", 0.0, "/v1/chat/completions")


def test_what_an_answer_says_in_braces_is_not_filled_in():
    with served(lambda body: "Score: 5") as server:
        judge(server.url)([completion("{rubric} {high} {prompt}")])
    assert "{rubric} {high} {prompt}" in asked(server.requests[0])
    assert "material to judge" in asked(server.requests[0])


@pytest.mark.parametrize(
    "wrong", ["I like it", "Score: high", "Score: 11", "Score: 0", "Score: 7/10", "Score: 7\nor 8", "", "7"]
)
def test_an_answer_of_another_form_is_asked_for_again_and_then_refused(wrong):
    with served(lambda body: wrong if len(body["messages"]) == 1 else "**Score: 10**") as server:
        assert judge(server.url)([completion("x")]) == [1.0]
        again = server.requests[1]["messages"]
        assert [message["role"] for message in again] == ["user", "assistant", "user"]
        assert again[1]["content"] == wrong
    with (
        served(lambda body: wrong) as server,
        pytest.raises(
            RewardError, match=r"gave 3 answers of which none can be used: End with one line `Score: NUMBER`"
        ),
    ):
        judge(server.url)([completion("x")])
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("prefers", "probability"),
    [
        (lambda a, b: "A" if a == "good" else "B", 1.0), (lambda a, b: "A" if a == "bad" else "B", 0.0),
        (lambda a, b: "A", 0.5), (lambda a, b: "B", 0.5), (lambda a, b: "TIE", 0.5),
        (lambda a, b: "A" if a == "good" else "TIE", 0.75),
    ],
)  # fmt: skip
def test_preferences_are_asked_in_both_orders(prefers, probability):
    def answer(body: dict[str, Any]) -> str:
        first = asked(body).partition("<answer_a>")[2].partition("</answer_a>")[0].strip()
        second = asked(body).partition("<answer_b>")[2].partition("</answer_b>")[0].strip()
        return f"Because.\nBetter: {prefers(first, second)}"

    with served(answer) as server:
        assert judge(server.url).prefer("a task", "good", "bad") == probability
        assert judge(server.url).preferences([("p", "bad", "good"), ("p", "good", "bad")]) == [
            1 - probability,
            probability,
        ]


@pytest.mark.parametrize("said", ["Better: C", "A", "Better: A or B", "Better: A\nno", ""])
def test_a_choice_has_one_form(said):
    with pytest.raises(ValueError, match="End with one line `Better: A`"):
        choice(said)
    assert choice("so\n**Better: b**\n") == 0.0


def test_failures_that_pass_are_tried_again():
    left = [(503, b"busy"), (429, b"slow down"), (200, b"not json")]
    with served(lambda body: left.pop(0) if left else "Score: 10") as server:
        assert judge(server.url, attempts=4)([completion("x")]) == [1.0]
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("answer", "count", "said"),
    [
        ((401, b"no key\nmore"), 1, "HTTP status 401: no key"), ((404, b""), 1, "HTTP status 404"),
        ((500, b"oops"), 3, "HTTP status 500: oops"), ((200, b"{}"), 3, "its answer is no chat completion"),
        ((200, answer_body(None)), 3, "its answer is no chat completion"), ((200, b"[]"), 3, "its answer is no chat"),
    ],
)  # fmt: skip
def test_a_server_that_fails_is_named(answer, count, said):
    with served(lambda body: answer) as server:
        with pytest.raises(RewardError) as raised:
            judge(server.url)([completion("x")])
        assert len(server.requests) == count
    assert str(raised.value) == f"a-judge at {server.url} does not answer: {said}" or said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_server_that_is_not_there_or_never_answers_is_named():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(RewardError, match=r"a-judge at http://127\.0\.0\.1:\d+/v1 does not answer: .*timed out"):
            judge(url, seconds=0.1, attempts=1)([completion("x")])
    with pytest.raises(RewardError, match=r"does not answer: URLError: .*refused"):
        judge(url)([completion("x")])


def test_no_more_questions_at_once_than_asked_for():
    both = threading.Barrier(2, timeout=20)  # passes when two are under way, never by one alone

    def answer(body: dict[str, Any]) -> str:
        both.wait()
        return "Score: 1"

    with served(answer) as server:
        judge(server.url, concurrency=2)([completion(str(n)) for n in range(6)])
        assert server.most == 2


def test_answers_are_kept_and_not_asked_for_again(tmp_path):
    with served(lambda body: "Score: 4") as server:
        first = judge(server.url, cache=str(tmp_path))([completion("x"), completion("y")])
        assert judge(server.url, cache=str(tmp_path))([completion("y"), completion("x")]) == first
        assert len(server.requests) == 2
        judge(server.url, cache=str(tmp_path), rubric="another")([completion("x")])
        assert len(server.requests) == 3


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k-1")
    with served(lambda body: "Score: 4") as server:
        judge(server.url)([completion("x")])
    assert server.headers[0]["Authorization"] == "Bearer k-1"


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"url": "localhost:8000"}, "must be like http://localhost:8000/v1"),
    ({"low": 3, "high": 3}, r"judge\.low 3 must be less"),
     ({"attempts": 0}, "attempts of at least 1")],
)  # fmt: skip
def test_bad_settings(settings, said):
    with pytest.raises(AlignSettingsError, match=said):
        Judge(**({"url": "http://localhost:1/v1", "model": "m"} | settings))
