"""What each kind of example holds, and how it is made to fit."""

from __future__ import annotations

import numpy as np
import pytest

from align.data import template
from align.data.chat import Chat
from align.data.examples import SHORTENED, Builder, Prompt, steered
from align.data.mismatch import mismatched
from align.data.record import Message, Record, Unfit
from align.rollout.generator import Rollout
from align.run.experience import Experience
from tests.align.data.tokenizers import REWRITING, tokenizer

CHAT = Chat(tokenizer(adds_bos=True), "chatml")
LONG = [
    Message("system", "Be short."),
    Message("user", "first " * 8), Message("assistant", "one " * 8),
    Message("user", "second " * 8), Message("assistant", "two " * 8),
    Message("user", "third " * 8), Message("assistant", "three " * 8),
]  # fmt: skip


def builder(max_length=10_000, **settings):
    return Builder(CHAT, max_length, **settings)


def text(tokens):
    return CHAT.tokenizer.decode(tokens)


def learnt(one):
    return text(one.tokens[one.mask])


def record(messages, sides=(), **fields):
    return Record("an id", "file:1", tuple(messages), tuple(sides), fields)


PAIR = record(LONG[:2], [LONG[2:3], (Message("assistant", "another"),)], margin=0.5)


def test_pairs_are_chosen_then_rejected_after_one_prompt():
    made = builder(numbers=("margin",)).build("pairs", PAIR)
    assert [learnt(one) for one in made.sequences] == ["one " * 8 + "<|im_end|>", "another<|im_end|>"]
    prompt = CHAT.prompt(LONG[:2])
    for one in made.sequences:
        np.testing.assert_array_equal(one.tokens[: len(prompt)], prompt)
    assert made.fields == {"margin": 0.5}


def test_of_labelled_and_rated_conversations_the_last_answer_is_learnt():
    made = builder().build("labelled", record(LONG, label=1.0))
    assert learnt(made.sequences[0]) == LONG[-1].content + "<|im_end|>"
    assert made.fields == {"label": 1.0}
    rated = builder(attributes=("verbosity", "helpfulness")).build(
        "attributes", record(LONG, helpfulness=4.0, verbosity=1.0)
    )
    np.testing.assert_array_equal(rated.fields["attributes"], np.float32([1, 4]))


def test_what_is_not_rated_is_nan_and_not_said():
    half = record(LONG, helpfulness=4.0)
    both = builder(attributes=("verbosity", "helpfulness"))
    np.testing.assert_array_equal(both.build("attributes", half).fields["attributes"], np.float32([np.nan, 4]))
    assert "\n\nhelpfulness:4<|im_end|>" in text(both.build("steered", half).sequences[0].tokens)


def test_steered_prompts_say_the_attributes():
    made = builder(attributes=("helpfulness", "verbosity")).build(
        "steered", record(LONG, helpfulness=4.0, verbosity=1.5)
    )
    assert LONG[-2].content + "\n\nhelpfulness:4,verbosity:1.5<|im_end|>" in text(made.sequences[0].tokens)
    assert learnt(made.sequences[0]) == LONG[-1].content + "<|im_end|>"
    assert steered(LONG, {"a": 1})[-1] == LONG[-1]


def test_prompts_call_for_an_answer_and_bring_the_gold_one():
    made = builder(gold=True).build("prompts", record(LONG, helpfulness=4.0))
    assert text(made.tokens) == CHAT.text(LONG[:-1], answer=True)
    assert (made.text, made.task, made.messages) == (LONG[-2].content, {"helpfulness": 4.0}, tuple(LONG[:-1]))
    np.testing.assert_array_equal(made.gold.tokens[: len(made.tokens)], made.tokens)
    assert learnt(made.gold) == LONG[-1].content + "<|im_end|>"
    assert builder().build("prompts", record(LONG[:-1])).gold is None


ANSWERED = {  # kind -> (settings, a record whose last answer is LONG's)
    "pairs": ({}, record(LONG[:-1], [LONG[-1:], (Message("assistant", "another"),)])),
    "pairs, all learnt": ({"train_on": "all"}, record(LONG[:-1], [LONG[-1:], (Message("assistant", "another"),)])),
    "labelled": ({}, record(LONG, label=1.0)),
    "attributes": ({"attributes": ("helpfulness",)}, record(LONG, helpfulness=4.0)),
    "steered": ({"attributes": ("helpfulness",)}, record(LONG, helpfulness=4.0)),
    "prompts": ({"gold": True}, record(LONG)),
}


@pytest.mark.parametrize("name", [*template.names(), "rewriting"])
@pytest.mark.parametrize("case", ANSWERED)
def test_an_answer_of_the_data_is_the_tokens_it_would_be_as_a_completion(case, name):
    chat = Chat(tokenizer(REWRITING if name == "rewriting" else ""), "" if name == "rewriting" else name)
    given, talk = ANSWERED[case]
    made = Builder(chat, 10_000, **given).build(case.partition(",")[0], talk)
    data = made.gold if case == "prompts" else made.sequences[0]
    asked = steered(LONG[:-1], {"helpfulness": 4.0}) if case == "steered" else LONG[:-1]
    prompt = Prompt("", chat.prompt(asked), "")
    said = chat.tokenizer.decode(data.tokens[len(prompt.tokens) : -1])
    assert said.strip().endswith(LONG[-1].content.strip())
    completion = np.append(chat.tokenizer.encode(said, add_special_tokens=False), chat.stop[0])
    drawn = Rollout(completion, np.zeros(len(completion), np.float32), "stop", 0)
    (one,) = Experience(
        (prompt,), (drawn,), (), np.zeros(1)
    ).sequences()  # what is scored, learnt, and by SPIN compared
    np.testing.assert_array_equal(data.tokens, one.tokens)


@pytest.mark.parametrize("room", [5, 60])  # tokens of a completion, fewer or more than the answer has
@pytest.mark.parametrize("length", range(80, 260, 23))
def test_a_prompt_that_is_cut_is_the_same_before_its_own_answer(length, room):
    made = builder(length, room=room, gold=True, too_long="truncate").build("prompts", record(LONG))
    assert len(made.tokens) <= length - room
    assert len(made.gold.tokens) <= length
    np.testing.assert_array_equal(made.gold.tokens[: len(made.tokens)], made.tokens)
    np.testing.assert_array_equal(np.flatnonzero(made.gold.mask), np.arange(len(made.tokens), len(made.gold.tokens)))
    assert learnt(made.gold) == LONG[-1].content + "<|im_end|>"


def lengths(made):
    return [len(one.tokens) for one in made.sequences]


def test_a_prompt_loses_its_oldest_exchanges_first():
    (whole,) = lengths(builder().build("sequences", record(LONG)))
    notes = []
    fitted = builder(whole - 1, too_long="truncate", note=notes.append).build("sequences", record(LONG))
    assert text(fitted.sequences[0].tokens) == CHAT.text([LONG[0], *LONG[3:]])
    assert learnt(fitted.sequences[0]) == f"{LONG[4].content}<|im_end|>{LONG[6].content}<|im_end|>"
    assert notes == [SHORTENED]


@pytest.mark.parametrize("train_on", ["assistant", "last", "all"])
def test_a_prompt_loses_its_oldest_tokens_where_no_exchange_is_left_to_lose(train_on):
    alone = record([LONG[0], *LONG[5:]])
    (whole,) = builder(train_on=train_on).build("sequences", alone).sequences
    cut = 9
    (one,) = (
        builder(len(whole.tokens) - cut, train_on=train_on, too_long="truncate").build("sequences", alone).sequences
    )
    assert one.tokens[0] == CHAT.tokenizer.bos_token_id
    np.testing.assert_array_equal(one.tokens[1:], whole.tokens[1 + cut :])
    np.testing.assert_array_equal(one.mask[1:], whole.mask[1 + cut :])
    assert not one.mask[0]


@pytest.mark.parametrize("length", range(60, 220, 23))
def test_whatever_is_truncated_fits_and_keeps_its_answers_whole(length):
    fit = builder(length, too_long="truncate")
    for pair in (PAIR, record(PAIR.messages, PAIR.sides[::-1])):
        whole, made = builder().build("pairs", pair), fit.build("pairs", pair)
        assert max(lengths(made)) <= length
        assert [learnt(one) for one in made.sequences] == [learnt(one) for one in whole.sequences]
        begins = [int(np.flatnonzero(one.mask)[0]) for one in made.sequences]
        np.testing.assert_array_equal(made.sequences[0].tokens[: begins[0]], made.sequences[1].tokens[: begins[1]])
    prompt = builder(length, room=20, too_long="truncate").build("prompts", record(LONG))
    assert len(prompt.tokens) <= length - 20
    assert text(prompt.tokens).endswith("<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize("kind", ["sequences", "prompts"])
def test_what_is_too_long_is_unfit_unless_it_may_be_truncated(kind):
    with pytest.raises(Unfit) as caught:
        builder(50).build(kind, record(LONG))
    assert caught.value.reason == "too long"


def test_an_answer_is_never_cut():
    with pytest.raises(Unfit) as caught:
        builder(10, too_long="truncate").build("sequences", record(LONG))
    assert caught.value.reason == "an answer too long"


@pytest.mark.parametrize(
    ("kind", "made", "reason"),
    [
        ("sequences", PAIR, "a preference"),
        ("sequences", record(LONG[:2]), "no answer"),
        ("pairs", record(LONG), "no pair"),
        ("labelled", record(LONG), "no label"),
        ("labelled", record(LONG[:2], label=1.0), "no answer"),
        ("attributes", record(LONG, other=1.0), "no attribute"),
    ],
)
def test_records_of_another_kind_are_unfit(kind, made, reason):
    with pytest.raises(Unfit) as caught:
        builder(attributes=("helpfulness",)).build(kind, made)
    assert caught.value.reason == reason


def test_sides_that_differ_in_what_the_template_trims_are_equal():
    pair = record(LONG[:2], [(Message("assistant", "one"),), (Message("assistant", "one  ."),)])
    assert builder().build("pairs", pair)
    trimmed = record(LONG[:2], [(Message("assistant", "one"),), (Message("assistant", "one\n"),)])
    trimming = Builder(Chat(tokenizer(), "llama3"), 999)
    with pytest.raises(Unfit, match="equal sides"):
        trimming.build("pairs", trimmed)


def test_kto_pairs_each_prompt_with_the_next_answer():
    talks = [(Message("user", f"q{n}"), Message("assistant", f"answer {n} " * n)) for n in range(1, 4)]
    batch = [
        builder().build("labelled", Record(str(n), "", talk, (), {"label": n % 2})) for n, talk in enumerate(talks)
    ]
    made = mismatched(batch, 500)
    for number, (one, whole) in enumerate(zip(made, batch)):
        own, other = one.sequences
        assert (one.id, one.fields) == (whole.id, whole.fields)
        np.testing.assert_array_equal(own.tokens, whole.sequences[0].tokens)
        assert text(other.tokens).startswith(text(CHAT.prompt([Message("user", f"q{number + 1}")])))
        assert learnt(other) == learnt(batch[(number + 1) % 3].sequences[0])
    longest = max(len(one.tokens) for pair in made for one in pair.sequences)
    shorter = mismatched(batch, longest - 3)
    assert max(len(pair.sequences[1].tokens) for pair in shorter) == longest - 3
    assert [learnt(pair.sequences[1]) for pair in shorter] == [learnt(pair.sequences[1]) for pair in made]
