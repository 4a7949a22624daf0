"""Records to examples: tokens, masks and fields, by what a method learns from.

* sequences   one conversation, its answers learnt (SFT)
* pairs       chosen, then rejected; of fields margin, chosen_score, rejected_score those that the loss reads
* labelled    a conversation whose last answer is learnt; field label, 1 or 0 (KTO)
* attributes  the same; field attributes, (k,), NaN where it is not rated (regression reward models)
* steered     a conversation whose last answer is learnt, its attributes written into the prompt (SteerLM)
* prompts     what calls for an answer, for rollouts: a Prompt

All but conversations end with the token that ends the last answer, as completions do, whatever a template writes after
it (ChatML: a line end): what is read at a sequence's last token, a score, is learnt of the token it is asked of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from align.batch import Example, TokenSequence
from align.data.chat import Chat, TrainOn
from align.data.record import Message, Record, Unfit

Kind = Literal["sequences", "pairs", "labelled", "attributes", "steered", "prompts"]
SHORTENED = "prompts that lost their oldest turns or tokens to fit max_length"


@dataclass(frozen=True)
class Prompt:
    """A prompt that is to be completed, and what a reward is told of it."""

    id: str
    tokens: np.ndarray  # int64 (length,): with the header of the answer
    text: str  # of the last user turn
    task: Mapping[str, Any] = field(default_factory=dict)  # other fields of the record: answer, tests, ...
    messages: tuple[Message, ...] = ()  # the turns that `tokens` are
    gold: TokenSequence | None = None  # the prompt with the record's own answer, where that was asked for


@dataclass(frozen=True)
class Builder:
    """How records become examples."""

    chat: Chat
    max_length: int  # tokens of a sequence, at most
    train_on: TrainOn = "assistant"
    too_long: Literal["refuse", "drop", "truncate"] = "drop"
    room: int = 0  # of prompts: tokens of max_length that are left for the completion
    attributes: tuple[str, ...] = ()  # of attributes and steered, in this order
    gold: bool = False  # prompts bring the record's own answer
    numbers: tuple[str, ...] = ()  # of pairs: the fields they keep, and must have
    note: Callable[[str], None] = lambda note: None  # told what was done to a record that is kept

    def build(self, kind: Kind, record: Record) -> Example | Prompt:
        """Return what a kind makes of a record. Raises Unfit."""
        made: Example | Prompt = getattr(self, f"_{kind}")(record)
        return made

    def _sequences(self, record: Record) -> Example:
        if record.sides:
            raise Unfit("a preference", "for conversations, give one side of it")
        last = max((n for n, one in enumerate(record.messages) if one.role == "assistant"), default=0)
        rest = (record.messages[last:],)
        return Example(record.id, self._fitted(record, record.messages[:last], rest, self.train_on, False))

    def _pairs(self, record: Record) -> Example:
        if len(record.sides) != 2:
            raise Unfit("no pair", "chosen and rejected are expected")
        if lacking := [name for name in self.numbers if name not in record.fields]:
            raise Unfit(f"no {' and no '.join(lacking)}", f"the loss reads it; there is {_listed(record.fields)}")
        sequences = self._fitted(record, record.messages, record.sides, self.train_on, True)
        if np.array_equal(sequences[0].tokens, sequences[1].tokens):
            raise Unfit("equal sides", "they differ only in what the template trims")
        return Example(record.id, sequences, {name: record.fields[name] for name in self.numbers})

    def _labelled(self, record: Record) -> Example:
        if "label" not in record.fields:
            raise Unfit("no label")
        return Example(record.id, self._last(record), {"label": record.fields["label"]})

    def _attributes(self, record: Record) -> Example:
        return Example(record.id, self._last(record), {"attributes": np.array(self._rated(record), np.float32)})

    def _steered(self, record: Record) -> Example:
        rated = dict(zip(self.attributes, self._rated(record)))
        return Example(record.id, self._last(replace(record, messages=steered(record.messages, rated))))

    def _prompts(self, record: Record) -> Prompt:
        messages, tokens = record.prompt, self.chat.prompt(record.prompt, record.tools)
        answer = record.messages[len(messages) :] if self.gold else ()
        limit = self.max_length - max(self.room, int(self._answered(record, messages).mask.sum()) if answer else 0)
        if limit < 1:
            raise Unfit("an answer too long", f"it leaves no room for a prompt; max_length is {self.max_length}")
        if len(tokens) > limit:
            if self.too_long != "truncate":
                raise Unfit("too long", f"a prompt of {len(tokens)} tokens; there is room for {limit}")
            for shorter in _without_oldest(messages):
                messages, tokens = shorter, self.chat.prompt(shorter, record.tools)
                if len(tokens) <= limit:
                    break
            tokens = self._tail(tokens, limit)
            self.note(SHORTENED)
        gold = None
        if answer:
            whole = self._answered(record, messages)
            gold = self._cut(whole, int(whole.mask.argmax()), len(tokens))
        return Prompt(record.id, tokens, record.question, {**record.task, **record.fields}, messages, gold)

    def _answered(self, record: Record, prompt: Sequence[Message]) -> TokenSequence:
        """Return a prompt with a record's own answer, which is learnt."""
        return _ended(self.chat.masked((*prompt, record.messages[-1]), "last", record.tools))

    def _last(self, record: Record) -> tuple[TokenSequence, ...]:
        """Return a conversation of which the final answer is learnt."""
        if record.prompt == record.messages:
            raise Unfit("no answer", "the conversation does not end with an assistant's turn")
        return self._fitted(record, record.prompt, (record.messages[-1:],), "last", True)

    def _rated(self, record: Record) -> list[float]:
        """Return the attributes; NaN for one that is not rated."""
        if not any(name in record.fields for name in self.attributes):
            raise Unfit("no attribute", f"none of {', '.join(self.attributes)}; there is {_listed(record.fields)}")
        return [record.fields.get(name, math.nan) for name in self.attributes]

    def _fitted(
        self,
        record: Record,
        prompt: Sequence[Message],
        sides: Sequence[Sequence[Message]],
        train_on: TrainOn,
        sides_only: bool,
    ) -> tuple[TokenSequence, ...]:
        """Return prompt and each side as tokens, none longer than max_length.

        To truncate, the prompt loses its oldest exchanges (a user turn and all up to the next one; the system turn
        stays), then its oldest tokens (a begin token stays); all sides the same. What follows the header of the first
        answer that is left is never cut: where it alone is too long, the record is unfit.
        """

        def masked(messages: Sequence[Message]) -> list[TokenSequence]:
            if not sides_only:
                return [self.chat.masked((*messages, *side), train_on, record.tools) for side in sides]
            start = len(messages)
            return [_ended(self.chat.masked((*messages, *side), train_on, record.tools, start)) for side in sides]

        made = masked(prompt)
        if all(len(one.tokens) <= self.max_length for one in made):
            return tuple(made)
        longest = max(len(one.tokens) for one in made)
        if self.too_long != "truncate":
            raise Unfit("too long", f"{longest} tokens; max_length is {self.max_length}")
        for shorter in _without_oldest(prompt):
            prompt, made = shorter, masked(shorter)
            if all(len(one.tokens) <= self.max_length for one in made):
                break
        begins = [int(np.flatnonzero(one.mask)[0]) for one in made]
        if train_on == "all" and not sides_only:
            answers = self.chat.masked((*prompt, *sides[0]), "assistant", record.tools)
            begins = [int(np.flatnonzero(answers.mask)[0])]
        room = self.max_length - max(len(one.tokens) - begin for one, begin in zip(made, begins))
        if room < 1:
            raise Unfit("an answer too long", f"it leaves no room for a prompt; max_length is {self.max_length}")
        self.note(SHORTENED)
        return tuple(self._cut(one, begin, room) for one, begin in zip(made, begins))

    def _cut(self, one: TokenSequence, begin: int, room: int) -> TokenSequence:
        mask = one.mask[max(begin - room, 0) :].copy()
        mask[0] = False
        return TokenSequence(np.append(self._tail(one.tokens[:begin], room), one.tokens[begin:]), mask)

    def _tail(self, tokens: np.ndarray, room: int) -> np.ndarray:
        """Return the last tokens of a prompt that is too long; a begin token stays in front."""
        if len(tokens) <= room:
            return tokens
        kept = tokens[len(tokens) - room :].copy()
        if tokens[0] == self.chat.tokenizer.bos_token_id:
            kept[0] = tokens[0]
        return kept


def steered(messages: Sequence[Message], attributes: Mapping[str, float]) -> tuple[Message, ...]:
    """Return a conversation whose last user turn ends with a line of attributes, such as helpfulness:4,verbosity:2.

    One that is NaN is left out.
    """
    line = ",".join(f"{name}:{value:g}" for name, value in attributes.items() if not math.isnan(value))
    last = max((n for n, one in enumerate(messages) if one.role == "user"), default=-1)
    if last < 0:
        raise Unfit("no prompt", "no user turn to write attributes into")
    turn = replace(messages[last], content=f"{messages[last].content}\n\n{line}")
    return (*messages[:last], turn, *messages[last + 1 :])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _ended(one: TokenSequence) -> TokenSequence:
    """Return a sequence up to its last learnt token."""
    stop = int(np.flatnonzero(one.mask)[-1]) + 1
    return TokenSequence(one.tokens[:stop], one.mask[:stop])


def _without_oldest(messages: Sequence[Message]) -> list[tuple[Message, ...]]:
    """Return ever shorter conversations, each without one more of the oldest exchanges; the last user turn stays."""
    system = tuple(one for one in messages[:1] if one.role == "system")
    users = [n for n, one in enumerate(messages) if one.role == "user"]
    return [(*system, *messages[n:]) for n in users[1:]]
