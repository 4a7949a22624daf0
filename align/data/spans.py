"""Where a rendered conversation's answers stand, found without marks in the template."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from align.data.record import Message, Unfit

MARK = "\u241f{}\u241f"  # stands for an answer; no conversation holds it, or it is refused
Render = Callable[[Sequence[Message], bool], str]  # turns, whether the header of an answer to come ends them -> text


class Span(NamedTuple):
    """Characters of a rendered conversation."""

    begin: int
    stop: int


class Finder:
    """Finds answers in the text that a template makes of a conversation.

    `special` matches a tokenizer's special tokens, which no turn holds; `end` is the one that ends an answer.
    """

    def __init__(self, name: str, render: Render, special: re.Pattern[str], end: str = "") -> None:
        self.name, self.render, self.special, self.end = name, render, special, end

    def answers(self, text: str, messages: Sequence[Message], numbers: Sequence[int]) -> list[Span]:
        """Return the spans of the turns `numbers`, from the end of a header to the token that ends the turn, inclusive.

        Raises Unfit where the template does not show an answer, or a tool call of it.
        """
        each = [self._after_header(text, messages, number) for number in numbers]
        found = [one for one in each if one is not None]
        if len(found) < len(each):
            found = self._around_marks(text, messages, numbers)
        for number, span in zip(numbers, found):
            shown = text[span.begin : span.stop]
            if not shown or not all(call["name"] in shown for call in messages[number].calls):
                raise self._hidden(number)
        return found

    def _after_header(self, text: str, messages: Sequence[Message], number: int) -> Span | None:
        """Return what follows the header of an answer to come, None where it cannot be told.

        Of a header that the text has in part (it opens a thought, which the answer has not), what follows that part.
        """
        header = self.render(messages[:number], True)
        begin = len(header)
        if not text.startswith(header):
            before = self.render(messages[:number], False)
            begin = next((n for n, (one, other) in enumerate(zip(header, text)) if one != other), len(text))
            if not header.startswith(before) or begin <= len(before):
                return None
        so_far = text if number == len(messages) - 1 else self.render(messages[: number + 1], False)
        if text.startswith(so_far):
            ends = [one.end() for one in self.special.finditer(text, begin, len(so_far))]
            return Span(begin, ends[-1] if ends else len(so_far))
        # the template writes an answer otherwise once others follow it
        opens = self._opens(messages[:number])
        stop = text.find(self.end, begin) if self.end and opens else -1
        if stop < 0 or any(one in text[begin:stop] for one in opens):
            return None
        return Span(begin, stop + len(self.end))

    def _around_marks(self, text: str, messages: Sequence[Message], numbers: Sequence[int]) -> list[Span]:
        """Return where the answers stand by what the template writes around marks in their place."""
        marked = [
            Message("assistant", MARK.format(n), one.calls) if one.role == "assistant" else one
            for n, one in enumerate(messages)
        ]
        pieces = re.split(MARK.format(r"(\d+)"), self.render(marked, False))
        between, found = pieces[0::2], [int(n) for n in pieces[1::2]]
        if not text.startswith(between[0]) or not set(numbers) <= set(found):
            raise self._hidden(numbers[0])
        place, at = len(between[0]), {}
        for number, after in zip(found, between[1:]):
            stop = text.rfind(after, place) if number == found[-1] else text.find(after, place)
            if stop < 0:
                raise self._hidden(number)
            end = self.special.match(text, stop)
            at[number] = Span(place, end.end() if end and end[0] not in self._opens(messages[:number]) else stop)
            place = stop + len(after)
        return [at[number] for number in numbers]

    def _opens(self, messages: Sequence[Message]) -> set[str]:
        """Return the special tokens of the header of an answer to come."""
        before, header = (self.render(messages, answer) for answer in (False, True))
        begin = len(before) if header.startswith(before) else max(header.rfind(messages[-1].content.strip()), 0)
        return {one[0] for one in self.special.finditer(header, begin)}

    def _hidden(self, number: int) -> Unfit:
        return Unfit("the template hides an answer", f"{self.name}: turn {number + 1}")
