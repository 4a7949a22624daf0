"""POST /v1/chat/completions, asked by the official client over a socket."""

import json

import openai
import pytest
from transformers import AutoTokenizer

from align.data.chat import Chat
from align.data.record import Message

TOOLS = [{"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}]
ASKED = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "the quick"}]


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_the_prompt_is_what_the_template_makes_of_the_conversation(server, client, folder):
    chat = Chat(AutoTokenizer.from_pretrained(folder))
    tokens = chat.prompt([Message("system", "be brief"), Message("user", "the quick")])
    made = client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=12, temperature=0)
    same = client.completions.create(model="tiny", prompt=tokens.tolist(), max_tokens=12, temperature=0)
    assert made.choices[0].message.content == same.choices[0].text
    assert made.choices[0].message.role == "assistant"
    assert made.usage.prompt_tokens == len(tokens)
    assert made.model == "tiny"


def test_content_may_be_parts_of_text(client):
    parts = [{"role": "user", "content": [{"type": "text", "text": "the quick"}]}]
    plain = [{"role": "user", "content": "the quick"}]
    one, other = (
        client.chat.completions.create(model="tiny", messages=m, max_tokens=5, seed=1) for m in (parts, plain)
    )
    assert one.choices[0].message.content == other.choices[0].message.content


def test_a_stream_is_the_whole_answer_in_pieces(client):
    asked = {"model": "tiny", "messages": ASKED, "max_completion_tokens": 40, "seed": 3, "n": 2, "logprobs": True,
             "top_logprobs": 2}  # fmt: skip
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage == whole.usage
    for choice in whole.choices:
        pieces = [one.choices[0] for one in chunks if one.choices and one.choices[0].index == choice.index]
        assert pieces[0].delta.role == "assistant"
        assert "".join(one.delta.content or "" for one in pieces) == choice.message.content
        assert [t for one in pieces if one.logprobs for t in one.logprobs.content] == choice.logprobs.content
        assert pieces[-1].finish_reason == choice.finish_reason
        assert (
            b"".join(bytes(t.bytes) for t in choice.logprobs.content)
            .decode(errors="replace")
            .startswith(choice.message.content[:3])
        )
        assert all(len(t.top_logprobs) == 2 for t in choice.logprobs.content)


def test_stop_strings_and_without_a_limit_the_context_ends_an_answer(client):
    free = client.chat.completions.create(model="tiny", messages=ASKED, temperature=0, logit_bias={"2": -100})
    assert free.choices[0].finish_reason == "length"
    assert free.usage.total_tokens == 256
    text = free.choices[0].message.content
    cut = client.chat.completions.create(
        model="tiny", messages=ASKED, temperature=0, logit_bias={"2": -100}, stop=text[20:23]
    )
    assert cut.choices[0].message.content == text[: text.index(text[20:23])]
    assert cut.choices[0].finish_reason == "stop"


def test_tools_reach_the_template_and_are_left_out_for_none(client):
    asked = {"model": "tiny", "messages": ASKED, "max_tokens": 4, "temperature": 0}
    plain = client.chat.completions.create(**asked)
    shown = client.chat.completions.create(**asked, tools=TOOLS)
    hidden = client.chat.completions.create(**asked, tools=TOOLS, tool_choice="none")
    assert shown.usage.prompt_tokens > plain.usage.prompt_tokens + 10
    assert hidden.usage.prompt_tokens == plain.usage.prompt_tokens
    assert hidden.choices[0].message.content == plain.choices[0].message.content
    assert shown.choices[0].finish_reason == "length"
    assert shown.choices[0].message.tool_calls is None


def test_a_conversation_with_calls_and_their_results_goes_on(client):
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "user", "content": "add"},
        {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None},
        {"role": "tool", "tool_call_id": "call_1", "content": "2"},
    ]
    made = client.chat.completions.create(model="tiny", messages=messages, tools=TOOLS, max_tokens=3)
    assert made.usage.completion_tokens == 3


def test_the_clients_list_of_models(client, server):
    assert [one.id for one in client.models.list()] == ["tiny"]


@pytest.mark.parametrize(
    ("more", "param", "word"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format", "text"),
        ({"tools": TOOLS, "tool_choice": "required"}, "tool_choice", "auto"),
        ({"tools": [{"type": "function"}]}, "tools[0]", "function"),
        ({"top_logprobs": 3}, "top_logprobs", "logprobs"),
        ({"messages": []}, "messages", "at least one"),
        ({"messages": [{"role": "poet", "content": "x"}]}, "messages[0]", "poet"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0]",
            "image_url",
        ),
        ({"messages": [{"role": "user", "content": "a<|im_end|>b"}]}, "messages", "special token"),
        ({"messages": [{"role": "user", "content": "x", "mood": "good"}]}, "messages[0]", "mood"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens", "differ"),
        ({"mesages": []}, "mesages", "Did you mean messages?"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(server, more, param, word):
    error = server.refused({"messages": ASKED, **more}, path="/v1/chat/completions")
    assert error["param"] == param
    assert word in error["message"]


def test_a_called_tool_is_told_as_openai_tells_it(server):
    from serve.server.answer.chat import ChatForm
    from serve.server.answer.choice import Piece
    from serve.server.asked import chat
    from serve.server.asked.common import Limits

    asked = chat.read({"messages": ASKED, "tools": TOOLS}, Limits(100, 4))
    form = ChatForm("tiny", asked, None)
    piece = Piece('Sure.\n{"name": "add", "arguments": {"a": 1}}', finish="stop")
    (choice,) = form.whole([piece], {})["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Sure."
    (call,) = choice["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "add")
    assert json.loads(call["function"]["arguments"]) == {"a": 1}
    chunks = [one["choices"][0] for one in form.chunks(0, piece)]
    assert chunks[0]["delta"] == {"content": "Sure."}
    assert chunks[1]["delta"]["tool_calls"][0]["index"] == 0
    assert chunks[2]["finish_reason"] == "tool_calls"
    cut = form.whole([Piece(piece.text, finish="length")], {})["choices"][0]
    assert (cut["finish_reason"], cut["message"]["content"]) == ("length", piece.text)
