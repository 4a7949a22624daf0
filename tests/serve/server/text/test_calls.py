"""Tool calls in the forms that models are taught."""

import json
import time

import pytest

from serve.server.text.calls import Call, find

CALL = '{"name": "add", "arguments": {"a": 1, "b": "ü"}}'
MADE = Call("add", '{"a": 1, "b": "ü"}')


@pytest.mark.parametrize(
    ("text", "before", "calls"),
    [
        (f"<tool_call>\n{CALL}\n</tool_call>", "", [MADE]),
        (f"Let me add.\n<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>", "Let me add.", [MADE, MADE]),
        (f"<tool_call>{CALL}", "", [MADE]),
        (CALL, "", [MADE]),
        (f"Sure:\n{CALL}\n{CALL}", "Sure:", [MADE, MADE]),
        (f"[{CALL}, {CALL}]", "", [MADE, MADE]),
        ('{"name": "add", "parameters": {}}', "", [Call("add", "{}")]),
        (json.dumps({"name": "add", "arguments": '{"a": 1}'}), "", [Call("add", '{"a": 1}')]),
    ],
)
def test_calls_are_found(text, before, calls):
    assert find(text, ["add"]) == (before, calls)


@pytest.mark.parametrize(
    "text",
    [
        "", "no call", "{", "[]", "{}", '{"name": "other", "arguments": {}}', f"{CALL} and more text",
        f"<tool_call>{CALL}</tool_call> and more", "<tool_call>{broken</tool_call>",
        '{"name": "add", "arguments": [1]}',
        '{"name": "add", "arguments": "no json"}', f"<tool_call>{CALL}</tool_call><tool_call>x</tool_call>",
        '{"name": ["add"], "arguments": {}}', "[" * 100000, '{"name": "add", "arguments": {"a": NaN}}',
        '{"name": "add", "arguments": {"a": 1e999}}', '{"name": "add", "arguments": "{\\"a\\": Infinity}"}',
        '{"name": "add", "arguments": {"a": "\\ud800"}}',
    ],
)  # fmt: skip
def test_what_is_no_sound_call_of_an_offered_tool_stays_text(text):
    assert find(text, ["add"]) == (text, [])


def test_long_answers_are_read_in_linear_time():
    begun = time.process_time()
    for text in ("<tool_call>" + " " * 100_000 + "x", f"<tool_call>{CALL}</tool_call> " * 2000 + "x"):
        assert find(text, ["add"]) == (text, [])
    assert time.process_time() - begun < 2  # a search that goes back takes minutes
