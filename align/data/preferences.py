"""Preference pairs, explicit or as two whole transcripts, and single labels."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from align.data.record import Message, Raw, Record, Unfit, id_of
from align.data.turns import definitions, in_order, text_of, turn, turns

SPEAKER = re.compile(r"\n\n(Human|Assistant):")  # of Anthropic's transcripts
NUMBERS = {"margin": "margin", "chosen_score": "chosen_score", "rejected_score": "rejected_score",
           "score_chosen": "chosen_score", "score_rejected": "rejected_score"}  # fmt: skip
GOOD = {1: 1.0, 0: 0.0, "true": 1.0, "false": 0.0}  # True is 1


def preference(raw: Raw, place: str) -> Record:
    """Return the pair of a record: prompt (messages, conversations, instruction), chosen and rejected.

    A side is a string, a turn, or a list of turns. Where no prompt is given, or the sides hold it too, what both
    sides begin with is the prompt, up to the turn that an assistant answers. Of scores without a margin the margin is
    their difference.
    """
    for name in ("chosen", "rejected"):
        if raw.get(name) in (None, "", [], {}):
            raise Unfit("missing side", f"{name} is absent or empty")
    given = _prompt(raw)
    chosen, rejected = (_side(raw[name], given) for name in ("chosen", "rejected"))
    shared = _common(chosen, rejected)
    prompt, sides = chosen[:shared], (chosen[shared:], rejected[shared:])
    if [(m.role, m.content.strip(), m.calls) for m in sides[0]] == [
        (m.role, m.content.strip(), m.calls) for m in sides[1]
    ]:
        raise Unfit("equal sides")
    if not prompt:
        raise Unfit("no prompt", "the sides have no turn in common and no prompt is given")
    in_order(prompt)
    for side in sides:
        in_order(side, prompt)
        if side[-1].role != "assistant":
            raise Unfit("no answer", f"a side ends with {side[-1].role}")
    fields = {NUMBERS[name]: number(name, raw[name]) for name in NUMBERS if raw.get(name) is not None}
    if "margin" not in fields and {"chosen_score", "rejected_score"} <= set(fields):
        fields["margin"] = fields["chosen_score"] - fields["rejected_score"]
    return Record(
        id_of(raw, (prompt, *sides)),
        place,
        prompt,
        sides,
        dict(sorted(fields.items())),
        tools=definitions(raw.get("tools")),
    )


def kto(raw: Raw, place: str) -> Record:
    """Return the labelled conversation of a record: messages or conversations, or prompt and completion; and a label.

    `label` or `kto_tag` is true or false, 1 or 0. Field `label` is 1.0 for good and 0.0 for bad.
    """
    label = raw.get("label", raw.get("kto_tag"))
    value = (
        GOOD.get(label.lower() if isinstance(label, str) else label) if isinstance(label, bool | int | str) else None
    )
    if value is None:
        raise Unfit("no label", f"label is {label!r}; expected true or false")
    messages = _prompt(raw)
    if "completion" in raw:
        messages = _side(raw["completion"], messages)
    if not messages:
        raise Unfit("no conversation", "expected messages, or prompt and completion")
    in_order(messages)
    if messages[-1].role != "assistant" or len(messages) < 2:
        raise Unfit("no answer", f"the conversation ends with {messages[-1].role}")
    return Record(
        id_of(raw, (messages, value)), place, messages, (), {"label": value}, tools=definitions(raw.get("tools"))
    )


def number(name: str, value: Any) -> float:
    """Return a finite number. Raises Unfit."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        pass
    raise Unfit("a number that is none", f"{name} is {str(value)[:40]}; expected a finite number")


def asked(raw: Raw) -> tuple[Message, ...]:
    """Return the turns of `prompt`, a string or a list of turns, or of `instruction` and `input` (`context`)."""
    if "instruction" in raw:
        text = "\n".join(text_of(one) for one in (raw["instruction"], raw.get("input", raw.get("context"))) if one)
        return turns([{"role": "user", "content": text}], raw.get("system"))
    prompt = raw.get("prompt")
    if isinstance(prompt, str):
        told = transcript(prompt)
        if told and told[-1] == Message("assistant", ""):  # a transcript that calls for the answer
            told = told[:-1]
        return told or turns([{"role": "user", "content": prompt}], raw.get("system"))
    return turns(prompt, raw.get("system")) if prompt is not None else ()


def transcript(text: str) -> tuple[Message, ...]:
    """Return the turns of an Anthropic transcript, none where the text does not begin as one."""
    pieces = SPEAKER.split(text)
    if len(pieces) < 3 or pieces[0].strip():
        return ()
    return tuple(
        Message("user" if who == "Human" else "assistant", said.strip())
        for who, said in zip(pieces[1::2], pieces[2::2])
    )


def _prompt(raw: Raw) -> tuple[Message, ...]:
    for name in ("messages", "conversations"):
        if name in raw:
            return turns(raw[name], raw.get("system"))
    return asked(raw)


def _side(value: Any, prompt: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the whole conversation of a side, whose value may hold the prompt or not."""
    if isinstance(value, str):
        whole = transcript(value)
        answer: tuple[Message, ...] = whole or (Message("assistant", value),)
    else:
        answer = (turn(value),) if isinstance(value, dict) else turns(value)
    return answer if answer and answer[0].role in ("user", "system") else (*prompt, *answer)


def _common(one: Sequence[Message], other: Sequence[Message]) -> int:
    """Return how many turns both begin with, before the assistant turn in which they part."""
    shared = 0
    while shared < min(len(one), len(other)) - 1 and one[shared] == other[shared]:
        shared += 1
    while shared and one[shared - 1].role == "assistant":
        shared -= 1
    return shared
