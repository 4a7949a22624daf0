"""Conversations as tokens, with masks of what is learnt of them.

Masks do not rest on `{% generation %}` marks, which few templates have: the template is rendered on prefixes of the
conversation, and where it rewrites earlier turns, on the conversation with its answers replaced by marks.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from align.batch import TokenSequence
from align.data import template as templates
from align.data.record import Message, Raw, Unfit
from align.data.spans import MARK, Finder, Span
from align.errors import DataError

TrainOn = Literal["assistant", "last", "all"]


class Chat:
    """A tokenizer and a template.

    `stop` are the tokens that end a completion: the one the template ends an answer with, and the tokenizer's own.
    """

    def __init__(self, tokenizer: Any, name: str = "", setting: str = "model.template") -> None:
        """Check that the template suits the tokenizer: `templates.load`. Raises DataError.

        setting: what a user names another template with, for messages.

        Raises DataError too where a template does not end an answer with a special token: a model that learnt it
        would never stop.
        """
        self.tokenizer = tokenizer
        self.template = templates.load(name, tokenizer, setting)
        special = {one.content for one in tokenizer.added_tokens_decoder.values() if one.special}
        special |= set(tokenizer.all_special_tokens) | set(self.template.control)
        special -= set(templates.lacking(self.template, tokenizer))
        by_length = sorted(special, key=lambda one: (-len(one), one))
        self._special = re.compile("|".join(map(re.escape, by_length)) or r"(?!)")
        adds = tokenizer.encode("x")[:1] == [tokenizer.bos_token_id]
        self._begin = tokenizer.bos_token if self.template.builtin and adds else ""
        self._end = ""  # the special token that ends an answer
        self.stop = self._stops(setting)
        self._end = str(tokenizer.decode([self.stop[0]]))

    @property
    def source(self) -> str:
        """Return the template as a tokenizer's own, Jinja: it writes the begin token where this one puts it first."""
        return ("{{- bos_token -}}\n" if self._begin else "") + self.template.source

    def text(self, messages: Sequence[Message], tools: Sequence[Raw] = (), *, answer: bool = False) -> str:
        """Return a conversation as text; `answer`: with the header of an answer to come.

        A template that knows no tool calls gets them as JSON, a line each, in the turn's text; one that knows no tool
        definitions gets these as JSON at the end of the system turn. Raises Unfit where the template refuses.
        """
        import jinja2

        turns = [self._turn(one) for one in self._written(messages)]
        if tools and not self.template.knows_tools:
            listed = "Tools:\n" + "\n".join(_json(one["function"]) for one in tools)
            if turns[0]["role"] == "system":
                turns[0] = {**turns[0], "content": f"{turns[0]['content']}\n\n{listed}"}
            else:
                turns.insert(0, {"role": "system", "content": listed})
        given = list(tools) if tools and self.template.knows_tools else None
        try:
            rendered = self.tokenizer.apply_chat_template(
                turns, tools=given, chat_template=self.template.source, tokenize=False, add_generation_prompt=answer
            )
        except jinja2.TemplateSyntaxError as error:
            raise DataError(f"template {self.template.name}, line {error.lineno}: {error.message}") from None
        except (jinja2.TemplateError, TypeError, KeyError) as error:
            raise Unfit("the template refuses it", f"{self.template.name}: {' '.join(str(error).split())}") from None
        return self._begin + str(rendered)

    def prompt(self, messages: Sequence[Message], tools: Sequence[Raw] = ()) -> np.ndarray:
        """Return the tokens, int64 (length,), that an answer follows. Raises Unfit."""
        self._clean(messages, tools)
        return self._encoded(self.text(messages, tools, answer=True))[0]

    def masked(
        self, messages: Sequence[Message], train_on: TrainOn = "assistant", tools: Sequence[Raw] = (), first: int = 0
    ) -> TokenSequence:
        """Return a conversation's tokens with a mask of what is learnt of turns `first` and later.

        assistant: all answers; last: the last answer; all: everything from the first answer on to the end of the last
        one, or with first = 0 from the second token on. An answer is what follows its header, as the template writes it
        before an answer to come, up to the token that ends the turn, that one included.

        Tokens are those of the whole text (what `apply_chat_template` gives), except where a token would span the
        end of a header and the begin of an answer: there the text is cut, so that an answer follows the tokens that
        `prompt` gives. A tokenizer whose pieces do not add up to the text (SentencePiece's leading space) is not cut,
        and the spanning token is learnt.

        Raises Unfit where there is no answer, where a turn holds a special token, which would break the conversation
        up, and where a template hides an answer. Cost: two renderings an answer, and one tokenisation.
        """
        answers = [n for n, one in enumerate(messages) if one.role == "assistant" and n >= first]
        if not answers:
            raise Unfit("no answer", "no turn is an assistant's")
        self._clean(messages, tools)
        messages = self._written(messages)
        text = self.text(messages, tools)
        finder = Finder(
            self.template.name, lambda turns, answer: self.text(turns, tools, answer=answer), self._special, self._end
        )
        spans = finder.answers(text, messages, answers[-1:] if train_on == "last" else answers)
        tokens, begins, stops = self._encoded_around(text, [one.begin for one in spans])
        if train_on == "all":
            spans = [Span(spans[0].begin, spans[-1].stop) if first else Span(0, len(text))]
        mask = np.zeros(len(tokens), bool)
        for span in spans:
            mask |= (stops > span.begin) & (begins < span.stop)
        mask[:1] = False
        return TokenSequence(tokens, mask)

    def _turn(self, message: Message) -> dict[str, Any]:
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.calls:
            turn["tool_calls"] = [{"type": "function", "function": dict(one)} for one in message.calls]
        return turn

    def _written(self, messages: Sequence[Message]) -> list[Message]:
        """Return turns with their calls in the text, where the template knows none."""
        if self.template.knows_calls:
            return list(messages)
        return [
            Message(one.role, "\n".join([*([one.content] if one.content.strip() else []), *map(_json, one.calls)]))
            if one.calls
            else one
            for one in messages
        ]

    def _clean(self, messages: Iterable[Message], tools: Iterable[Raw]) -> None:
        """Raise Unfit where a string that reaches the template holds a special token."""
        for number, one in enumerate(messages, 1):
            if held := self._held([one.content, one.calls]):
                raise Unfit("special token in a turn", f"turn {number} holds {held}")
        if held := self._held(list(tools)):
            raise Unfit("special token in the tools", f"a definition holds {held}")

    def _held(self, value: Any) -> str:
        """Return the special token that a value holds in a string, at whatever depth; names of fields too."""
        left = [value]
        while left:
            one = left.pop()
            if isinstance(one, str):
                if found := self._special.search(one):
                    return found[0]
                if MARK[0] in one:
                    return MARK[0]
            elif isinstance(one, Mapping):
                left += [*one.keys(), *one.values()]
            elif isinstance(one, list | tuple):
                left += one
        return ""

    def _encoded_around(self, text: str, headers: Iterable[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what `_encoded` does, cut at the ends of headers where these would be other tokens by themselves."""
        tokens, begins, stops = self._encoded(text)
        cuts = []
        for end in headers:
            apart = max((one.end() for one in self._special.finditer(text, 0, end)), default=0)  # splits always
            inside = slice(*np.searchsorted(stops, (apart, end), "right"))
            if not np.array_equal(tokens[inside], self._encoded(text[apart:end])[0]):
                cuts.append(end)
        if not cuts:
            return tokens, begins, stops
        bounds = [0, *cuts, len(text)]
        pieces = [self._encoded(text[begin:end]) for begin, end in itertools.pairwise(bounds)]
        cut = np.concatenate([piece[0] for piece in pieces])
        if self.tokenizer.decode(cut) != self.tokenizer.decode(tokens):
            return tokens, begins, stops
        moved = ([at + piece[n] for at, piece in zip(bounds, pieces)] for n in (1, 2))
        return cut, *(np.concatenate(one) for one in moved)  # type: ignore[return-value]

    def _encoded(self, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return tokens, and the characters each begins and stops at. A template writes the first token itself."""
        made = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        begins, stops = np.array(made["offset_mapping"], np.int64).reshape(-1, 2).T
        return np.array(made["input_ids"], np.int64), begins, stops

    def _stops(self, setting: str) -> tuple[int, ...]:
        """Return the tokens that end a completion, by a conversation that every template must render whole."""
        talk = [Message("user", "question"), Message("assistant", "answer")]
        try:
            one, text = self.masked(talk), self.text(talk)
            if "question" not in text or "answer" not in self.tokenizer.decode(one.tokens[one.mask]):
                raise Unfit("the template hides a turn", f"of question and answer it makes {text!r}")
        except Unfit as unfit:
            raise DataError(
                f"template {self.template.name} renders no conversation: {unfit.reason}, {unfit.detail}"
            ) from None
        last = int(one.tokens[np.flatnonzero(one.mask)[-1]])
        if not self._special.fullmatch(self.tokenizer.decode([last])):
            raise DataError(
                f"template {self.template.name} ends an answer with no special token, so that a model would not learn "
                f"to stop; name another with {setting}: {', '.join(templates.names())}"
            )
        own = self.tokenizer.eos_token_id
        return tuple(dict.fromkeys([last] + ([] if own is None else [int(own)])))


def _json(value: Raw) -> str:
    return json.dumps(value, ensure_ascii=False)
