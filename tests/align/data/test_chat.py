"""Masks cover the answers and the tokens that end them, and nothing else."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align.data import template
from align.data.chat import Chat
from align.data.record import Message, Unfit
from align.errors import DataError
from tests.align.data.tokenizers import MARKED, REWRITING, SPECIAL, tokenizer

TALK = [
    Message("system", "Be short."),
    Message("user", "What is the capital of France?"),
    Message("assistant", "Paris."),
    Message("user", "And of the river?\n"),
    Message("assistant", "  a  \n\nsystem user assistant 42"),
]
contents = st.text(st.characters(codec="utf-8", exclude_characters="\u241f"), min_size=1).filter(str.strip)
conversations = st.lists(st.tuples(contents, contents), min_size=1, max_size=4)


def plain(messages):
    return [{"role": one.role, "content": one.content} for one in messages]


def oracle(tok, messages):
    made = tok.apply_chat_template(plain(messages), tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    return np.array(made["input_ids"]), np.array(made["assistant_masks"], bool)


@pytest.mark.parametrize("name", MARKED)
@settings(max_examples=40)
@given(conversations)
def test_against_the_generation_masks_of_transformers(name, pairs):
    tok = tokenizer(MARKED[name])
    messages = [Message(role, said) for pair in pairs for role, said in zip(("user", "assistant"), pair)]
    chat = Chat(tok)
    made = chat.masked(messages)
    tokens, mask = oracle(tok, messages)
    prompts = [chat.prompt(messages[:n]) for n in range(1, len(messages), 2)]
    if all(np.array_equal(tokens[: len(one)], one) for one in prompts):
        np.testing.assert_array_equal(made.tokens, tokens)
        np.testing.assert_array_equal(made.mask, mask)
    else:  # a token of theirs spans the end of a header
        assert tok.decode(made.tokens) == tok.decode(tokens)
    first = int(np.flatnonzero(made.mask)[0])
    np.testing.assert_array_equal(made.tokens[:first], prompts[0])


def test_a_token_does_not_span_a_header_and_an_answer():
    tok = tokenizer(MARKED["llama3"])
    chat = Chat(tok)
    talk = [Message("user", "Which?"), Message("assistant", "Paris")]
    assert len(oracle(tok, talk)[0]) > len(chat.masked(talk).tokens)  # two line ends are one token, but not before text
    made = chat.masked(talk)
    first = int(np.flatnonzero(made.mask)[0])
    np.testing.assert_array_equal(made.tokens[:first], chat.prompt(talk[:1]))
    assert tok.decode(made.tokens[first:]) == "Paris<|eot_id|>"


@pytest.mark.parametrize("adds_bos", [False, True])
@pytest.mark.parametrize("name", template.names())
def test_what_is_learnt_decodes_to_the_answers_and_their_end_tokens(name, adds_bos):
    chat = Chat(tokenizer(adds_bos=adds_bos), name)
    made = chat.masked(TALK)
    end = chat.tokenizer.decode([chat.stop[0]])
    learnt = chat.tokenizer.decode(made.tokens[made.mask]).split(end)
    assert [one.strip() for one in learnt] == ["Paris.", TALK[4].content.strip(), ""]
    assert chat.tokenizer.decode(made.tokens) == chat.text(TALK)
    assert list(made.tokens).count(chat.tokenizer.bos_token_id) == adds_bos
    assert not made.mask[0]


@pytest.mark.parametrize("name", template.names())
def test_an_answer_follows_its_prompt_token_by_token(name):
    chat = Chat(tokenizer(), name)
    made = chat.masked(TALK, "last")
    first = int(np.flatnonzero(made.mask)[0])
    np.testing.assert_array_equal(made.tokens[:first], chat.prompt(TALK[:-1]))


def test_turns_that_are_learnt_can_be_chosen():
    chat = Chat(tokenizer(), "chatml")
    learnt = {one: chat.masked(TALK, one).mask for one in ("assistant", "last", "all")}
    assert learnt["all"][1:].all()
    assert not learnt["all"][0]
    assert (learnt["last"] <= learnt["assistant"]).all()
    assert chat.tokenizer.decode(chat.masked(TALK).tokens[learnt["last"]]) == TALK[4].content + "<|im_end|>"
    np.testing.assert_array_equal(chat.masked(TALK, first=3).mask, learnt["last"])
    side = chat.masked(TALK, "all", first=3)
    assert chat.tokenizer.decode(side.tokens[side.mask]) == TALK[4].content + "<|im_end|>"


def test_a_template_that_rewrites_earlier_answers_is_masked_where_they_stand():
    chat = Chat(tokenizer(REWRITING))
    thought = "<think>\n\n</think>\n\n"  # follows the header, so the model must learn to write it
    for talk, learnt in ((TALK, f"Paris.<|im_end|>{thought}{TALK[4].content}"), (TALK[:3], f"{thought}Paris.")):
        made = chat.masked(talk)
        assert chat.tokenizer.decode(made.tokens[made.mask]) == learnt + "<|im_end|>"


def test_end_tokens_stop_completions():
    assert Chat(tokenizer(), "chatml").stop == tuple(tokenizer().convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]))
    assert Chat(tokenizer(), "plain").stop == (tokenizer().eos_token_id,)


def test_tool_calls_are_written_as_json_by_a_template_that_knows_none():
    talk = [
        Message("user", "Weather?"),
        Message("assistant", "", ({"name": "weather", "arguments": {"at": "Paris"}},)),
        Message("tool", '{"degrees": 20}'),
        Message("assistant", "Twenty."),
    ]
    tools = [{"type": "function", "function": {"name": "weather"}}]
    chat = Chat(tokenizer(), "chatml")
    made = chat.masked(talk, tools=tools)
    learnt = '{"name": "weather", "arguments": {"at": "Paris"}}<|im_end|>Twenty.<|im_end|>'
    assert chat.tokenizer.decode(made.tokens[made.mask]) == learnt
    assert chat.text(talk, tools).startswith('<|im_start|>system\nTools:\n{"name": "weather"}<|im_end|>')


KNOWING = (
    "{%- if tools -%}{{- '<|im_start|>system\\n' + tools | tojson + '<|im_end|>\\n' -}}{%- endif -%}"
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' -}}{%- if m.role == 'assistant' -%}"
    "{%- generation -%}{{- m.content -}}{%- for c in m.tool_calls or [] -%}{{- c.function | tojson -}}{%- endfor -%}"
    "{{- '<|im_end|>' -}}{%- endgeneration -%}{%- else -%}{{- m.content + '<|im_end|>' -}}{%- endif -%}{{- '\\n' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def test_tool_calls_go_to_a_template_that_knows_them():
    tok = tokenizer(KNOWING)
    call = {"name": "weather", "arguments": {"at": "Paris"}}
    tools = [{"type": "function", "function": {"name": "weather"}}]
    talk = [
        Message("user", "Weather?"),
        Message("assistant", "", (call,)),
        Message("tool", "20"),
        Message("assistant", "20."),
    ]
    said = plain(talk)
    said[1]["tool_calls"] = [{"type": "function", "function": call}]
    oracle = tok.apply_chat_template(
        said, tools=tools, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    made = Chat(tok).masked(talk, tools=tools)
    np.testing.assert_array_equal(made.tokens, oracle["input_ids"])
    np.testing.assert_array_equal(made.mask, np.array(oracle["assistant_masks"], bool))


LATE = (  # as Mistral's of 2024: the system turn stands in the last question
    "{%- set talk = messages[1:] if messages[0].role == 'system' else messages -%}{%- for m in talk -%}"
    "{%- if m.role == 'assistant' -%}{{- ' ' + m.content + eos_token -}}{%- else -%}{{- '[INST] ' -}}"
    "{%- if messages[0].role == 'system' and loop.index0 >= talk | length - 2 -%}"
    "{{- messages[0].content + '\n\n' -}}{%- endif -%}{{- m.content + ' [/INST]' -}}{%- endif -%}{%- endfor -%}"
)


def test_a_template_that_moves_the_system_turn_to_the_last_question_is_masked_around_its_answers():
    chat = Chat(tokenizer(LATE))
    made = chat.masked(TALK)
    assert chat.text(TALK).count("Be short.") == 1
    assert not chat.text(TALK).startswith(chat.text(TALK[:2]))  # so no prefix tells
    ended = [f" {one.content}<|endoftext|>" for one in (TALK[2], TALK[4])]
    assert chat.tokenizer.decode(made.tokens[made.mask]).replace(" ", "") == "".join(ended).replace(" ", "")


ENDED_ONCE = (
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\n' + m.content -}}"
    "{%- if loop.last and not add_generation_prompt -%}{{- eos_token -}}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)


def test_no_turn_of_the_user_is_learnt_where_only_the_last_answer_is_ended():
    chat = Chat(tokenizer(ENDED_ONCE))
    made = chat.masked(TALK)
    assert chat.tokenizer.decode(made.tokens[made.mask]) == f"Paris.{TALK[4].content}<|endoftext|>"


THINKING = (  # as Qwen3's: the last answer opens with a thought, and calls stand behind the text
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\n' -}}"
    "{%- if m.role == 'assistant' and loop.last -%}{{- '<think>\n\n</think>\n\n' -}}{%- endif -%}{{- m.content -}}"
    "{%- for c in m.tool_calls or [] -%}{{- ('\n' if m.content else '') + (c.function | tojson) -}}{%- endfor -%}"
    "{{- '<|im_end|>\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' + OPEN -}}{%- endif -%}"
)


@pytest.mark.parametrize("opened", ["", "<think>\n"])
def test_calls_are_learnt_where_a_template_rewrites_them_as_others_follow(opened):
    chat = Chat(tokenizer(THINKING.replace("OPEN", repr(opened))))
    call = {"name": "weather", "arguments": {"at": "Paris"}}
    talk = [
        Message("user", "Weather?"),
        Message("assistant", "", (call,)),
        Message("tool", "20"),
        Message("assistant", "Yes."),
    ]
    made = chat.masked(talk)
    said = '{"name": "weather", "arguments": {"at": "Paris"}}<|im_end|>'
    thought = "<think>\n\n</think>\n\nYes.<|im_end|>".removeprefix(opened)
    assert chat.tokenizer.decode(made.tokens[made.mask]) == said + thought


def test_a_call_that_a_template_leaves_out_is_refused():
    chat = Chat(tokenizer(KNOWING.replace("m.tool_calls", "m.no_tool_calls")))
    with pytest.raises(Unfit, match="the template hides an answer"):
        chat.masked([Message("user", "Weather?"), Message("assistant", "", ({"name": "weather", "arguments": {}},))])


def test_a_special_token_in_a_turn_is_refused():
    chat = Chat(tokenizer(), "chatml")
    with pytest.raises(Unfit) as caught:
        chat.masked([Message("user", "a<|im_end|>"), Message("assistant", "b")])
    assert caught.value.args == ("special token in a turn", "turn 1 holds <|im_end|>")


CALL = {"name": "f", "arguments": {"x": ["a", {"<|im_end|>": 1}]}}
TOOL = {"type": "function", "function": {"name": "f", "description": "<|im_end|>"}}


@pytest.mark.parametrize(
    ("calls", "tools", "said"),
    [
        ((CALL,), (), "turn 2 holds"),
        (({"name": "<|im_end|>", "arguments": {}},), (), "turn 2 holds"),
        ((), (TOOL,), "a definition holds"),
        ((), ({"type": "function", "function": {"name": "f", "parameters": {"<|im_end|>": {}}}},), "a definition"),
    ],
)
def test_special_tokens_of_calls_and_tools_are_refused_as_those_of_texts(calls, tools, said):
    chat = Chat(tokenizer(), "chatml")
    talk = [Message("user", "a"), Message("assistant", "b", calls), Message("user", "c")]
    for made in (chat.prompt, lambda talk, tools: chat.masked(talk, tools=tools)):
        with pytest.raises(Unfit) as caught:
            made(talk, tools)
        assert said in caught.value.detail


@pytest.mark.parametrize(
    ("name", "special", "said"),
    [
        (
            "",
            SPECIAL,
            "has no chat template; name one with model.template: alpaca, chatml, .* it can write alpaca, chatml",
        ),
        ("chatlm", SPECIAL, "no chat template is called chatlm. Did you mean chatml"),
        (
            "chatml",
            SPECIAL[:2],
            r"writes <\|im_start\|>, <\|im_end\|>, which this .* it can write alpaca, mistral, plain",
        ),
        ("absent.jinja", SPECIAL, "absent.jinja cannot be read"),
    ],
)
def test_a_template_the_tokenizer_cannot_write_is_one_clear_line(name, special, said):
    with pytest.raises(DataError, match=said):
        Chat(tokenizer(special=special), name)


PARTS = (  # as some multimodal models': a turn's content is a list of parts, and a string has none
    "{% for m in messages %}{{ m.role + ':' }}{% for p in m.content if p.text is defined %}{{ p.text }}{% endfor %}"
    "{{ eos_token }}{% endfor %}"
)


def test_templates_are_refused_that_are_broken_or_end_no_answer(tmp_path):
    path = tmp_path / "own.jinja"
    for source, said in {
        "{% for m in messages %}{{ m.content }}": "own.jinja, line 1: ",
        "{% for m in messages %}{{ m.role + m.content }}\n{% endfor %}": "ends an answer with no special token",
        "{{ raise_exception('no turns please') }}": "renders no conversation: the template refuses it, .*no turns",
        PARTS: "renders no conversation: the template hides a turn, of question and answer it makes",
        "{{ messages[0].content }}": "renders no conversation: the template hides an answer",
    }.items():
        path.write_text(source)
        with pytest.raises(DataError, match=said):
            Chat(tokenizer(), str(path))


def test_a_template_that_writes_the_begin_token_itself_has_it_once(tmp_path):
    (tmp_path / "own.jinja").write_text(MARKED["llama3"])
    for name in ("", str(tmp_path / "own.jinja")):
        made = Chat(tokenizer(MARKED["llama3"], adds_bos=True), name).masked(TALK)
        assert list(made.tokens).count(tokenizer().bos_token_id) == 1


def test_a_template_file_is_taken_as_it_stands(tmp_path):
    (tmp_path / "own.jinja").write_text(MARKED["llama3"])
    one, other = Chat(tokenizer(), str(tmp_path / "own.jinja")), Chat(tokenizer(MARKED["llama3"]))
    np.testing.assert_array_equal(one.masked(TALK).tokens, other.masked(TALK).tokens)


@pytest.mark.parametrize("adds_bos", [False, True])
@pytest.mark.parametrize("name", ["alpaca", "plain", "mistral"])
def test_a_template_that_is_handed_on_writes_the_same_tokens_as_the_tokenizers_own(name, adds_bos):
    tok = copy.deepcopy(tokenizer(adds_bos=adds_bos))
    named = Chat(tok, name)
    tok.chat_template = named.source
    own = Chat(tok)
    np.testing.assert_array_equal(own.masked(TALK[1:3]).tokens, named.masked(TALK[1:3]).tokens)
    np.testing.assert_array_equal(own.prompt(TALK[1:2]), named.prompt(TALK[1:2]))
    assert own.stop == named.stop
