"""What goes on to another server."""

import pytest

from serve.server.asked.common import Limits
from serve.server.asked.forwarded import bounded, readable
from serve.server.refusal import Refusal

LIMITS = Limits(100, 4)
USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("chat", "given", "sent", "drawn"),
    [
        (True, {}, {"max_tokens": 100}, 100),
        (False, {}, {"max_tokens": 16}, 16),
        (True, {"max_tokens": None}, {"max_tokens": 100}, 100),
        (True, {"max_completion_tokens": 7}, {"max_completion_tokens": 7}, 7),
        (True, {"max_tokens": 7, "max_completion_tokens": 7}, {"max_tokens": 7, "max_completion_tokens": 7}, 7),
        (False, {"max_tokens": 0, "echo": True}, {"max_tokens": 0, "echo": True}, 0),
        (False, {"n": 2, "best_of": 2}, {"n": 2, "best_of": 2, "max_tokens": 16}, 16),
    ],
)
def test_a_limit_of_tokens_is_always_sent(chat, given, sent, drawn):
    assert bounded(given, LIMITS, chat) == (sent, drawn)


@pytest.mark.parametrize(
    ("chat", "given", "field"),
    [
        (True, {"max_tokens": 101}, "max_tokens"),
        (True, {"max_completion_tokens": 101}, "max_completion_tokens"),
        (True, {"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        (True, {"max_tokens": 0}, "max_tokens"),
        (False, {"max_completion_tokens": 5}, "max_tokens"),
        (False, {"best_of": 20}, "best_of"),
        (False, {"best_of": True}, "best_of"),
        (False, {"n": 0}, "n"),
        (False, {"n": 5}, "n"),
        (False, {"max_tokens": 5, "min_tokens": 6}, "min_tokens"),
    ],
)
def test_what_costs_more_than_it_says_is_refused(chat, given, field):
    with pytest.raises(Refusal) as raised:
        bounded(given, LIMITS, chat)
    assert raised.value.param == field


@pytest.mark.parametrize(
    "given",
    [
        {"chat_template": "{{ evil }}"}, {"documents": [{"text": "evil"}]}, {"functions": [{"description": "evil"}]},
        {"suffix": "evil"}, {"prediction": {"content": "evil"}}, {"seed": "evil"}, {"temperature": ["evil"]},
        {"tool_choice": {"function": {"name": "evil"}}}, {"guided_json": {"const": "evil"}},
        {"response_format": {"type": "json_schema", "json_schema": {"description": "evil"}}},
        {"messages": [USER | {"content": [{"type": "file", "file": {"file_data": "evil"}}]}]},
        {"messages": [USER | {"content": [{"type": "image_url", "image_url": "evil"}]}]},
        {"messages": [USER | {"content": [{"type": "text", "text": "hi", "file": "evil"}]}]},
        {"messages": [USER | {"content": ["evil"]}]}, {"messages": [USER | {"audio": {"id": "evil"}}]},
    ],
    ids=str,
)  # fmt: skip
def test_what_rails_on_the_input_do_not_read_does_not_go_on(given):
    with pytest.raises(Refusal, match="do not read"):
        readable({"model": "m", "messages": [USER]} | given)


def test_what_they_read_and_what_holds_no_text_goes_on():
    readable(
        {
            "model": "m", "messages": [USER, USER | {"content": [{"type": "text", "text": "hi"}]}], "tools": [],
            "temperature": 0.5, "stop": ["x"], "stream": True, "stream_options": {"include_usage": True},
            "tool_choice": "auto", "response_format": {"type": "json_object"},
        }
    )  # fmt: skip
