"""Answers of another server behind rails on the output: what does not pass a rail is not there."""

import asyncio
import json

import pytest

from serve.rails.rails import Place, Placed, Rails
from serve.rails.words import Words
from serve.server import foreign, held
from serve.server.checks import Checks
from serve.server.record import Record
from serve.server.refusal import Refusal

USER = {"role": "user", "content": "hi"}


def checked(choices, action, chat=True, count=1):
    words = Words(words=("evil",))
    words.prepare()
    checks = Checks(Rails([Placed(Place("words", action, "output", "No."), words)]))
    try:
        answer = foreign.formed({"id": "evil", "unknown": "evil", "choices": choices}, chat, whole=True)
        return asyncio.run(held.check(answer, [[USER]] * count, checks, Record("x"), chat))
    finally:
        checks.close()


def call(**function):
    return {"id": "evil", "type": "evil", "unknown": "evil", "function": function}


MESSAGES = [
    {"content": "evil"},
    {"content": "a", "refusal": "evil"},
    {"content": "a", "reasoning": "evil"},
    {"content": None, "reasoning_content": "evil"},
    {"content": None, "tool_calls": [call(name="evil", arguments="{}")]},
    {"content": None, "tool_calls": [call(name="f", arguments="evil")]},
    {"content": None, "function_call": {"name": "evil", "arguments": "{}"}},
    {"content": None, "function_call": {"name": "f", "arguments": "evil"}},
]


@pytest.mark.parametrize("message", MESSAGES, ids=str)
@pytest.mark.parametrize("action", ["refuse", "redact"])
def test_no_string_leaves_unread(message, action):
    choice = {"index": 0, "message": message, "logprobs": {"content": [{"token": "evil"}]}, "unknown": "evil"}
    made = checked([choice], action)
    assert "evil" not in json.dumps(made)
    if action == "refuse":
        assert made["choices"][0]["message"] == {"role": "assistant", "content": "No."}
        assert made["choices"][0]["finish_reason"] == "content_filter"


def test_what_passes_is_as_it_came_but_for_ids_and_what_is_not_known():
    message = {"content": "a", "annotations": ["evil"], "tool_calls": [call(name="f", arguments="{}")]}
    made = checked([{"index": 0, "message": message, "finish_reason": "tool_calls"}], "refuse")["choices"][0]
    assert made["finish_reason"] == "tool_calls"
    assert made["message"]["content"] == "a"
    assert made["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert "evil" not in json.dumps(made)


def test_each_completion_is_checked_with_what_it_answers_in_order():
    made = checked([{"index": 1, "text": "b"}, {"index": 0, "text": "a"}], "refuse", chat=False, count=2)
    assert [one["text"] for one in made["choices"]] == ["a", "b"]


@pytest.mark.parametrize(
    "choices",
    [
        5, [5], [], [{"index": 0, "message": 5}], [{"index": 1, "message": {}}], [{"message": {}}],
        [{"index": 0, "message": {"content": [1]}}], [{"index": 0, "message": {"tool_calls": 5}}],
        [{"index": 0, "message": {"tool_calls": [{"x": 1}]}}], [{"index": 0, "message": {"tool_calls": [5]}}],
        [{"index": 0, "message": {"function_call": 5}}],
        [{"index": 0, "message": {"tool_calls": [call(name=5)]}}],
    ],
    ids=str,
)  # fmt: skip
def test_answers_of_another_form_are_502(choices):
    with pytest.raises(Refusal) as raised:
        checked(choices, "refuse")
    assert raised.value.status == 502
