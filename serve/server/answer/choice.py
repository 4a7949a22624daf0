"""One completion as it grows: text in whole characters, up to a stop string, with the tokens it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from serve.engine.request import Token, Told
from serve.server.refusal import Refusal
from serve.server.text.detokenize import Detokenizer
from serve.server.text.stops import Stops
from serve.server.text.tokenizer import Tokenizer

Reason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True)
class Shown:
    """A token that is told with its log-probabilities, and where its text begins, in characters."""

    token: Token
    offset: int


@dataclass(frozen=True)
class Piece:
    """What is new of a completion."""

    text: str
    shown: tuple[Shown, ...] | None = ()  # where logprobs were asked for; None: they may not be told
    ids: tuple[int, ...] = ()
    finish: Reason | None = None


class Choice:
    """A completion from what an engine tells of it.

    The token that ended it is counted, and is in no text. Where nothing depends on the text before the end
    (`at_once`), it is decoded once, at the end.
    """

    def __init__(
        self, tokenizer: Tokenizer, stop: Sequence[str], logprobs: bool, at_once: bool, begin: int = 0
    ) -> None:
        self._stops, self._logprobs, self._at_once = Stops(stop), logprobs, at_once and not stop and not logprobs
        self._text = Detokenizer(tokenizer.decode)
        self._decoded = self._sent = begin  # characters; those that stand before the completion too
        self._shown: list[Shown] = []
        self._ids: list[int] = []
        self.tokens = 0  # drawn
        self.prompt: tuple[Token, ...] = ()
        self.finish: Reason | None = None

    def take(self, told: Told) -> Piece | None:
        """Take what was told and return what can be sent of it, if anything. Raises Refusal where the engine failed."""
        if self.finish:
            return None  # of a completion that a stop string ended
        if told.finish in ("error", "cancelled"):
            gone = told.finish == "cancelled"
            raise Refusal(503, "the engine was stopped") if gone else Refusal(500, told.error or "the engine failed")
        self.prompt += told.prompt
        drawn = told.tokens[:-1] if told.finish == "stop" else told.tokens
        text = self._add(drawn)
        if not self._stops.found and len(drawn) < len(told.tokens):
            self.tokens += 1
            self._ids.append(told.tokens[-1].id)
        if self._stops.found:
            self.finish = "stop"
        elif told.finish in ("stop", "length"):
            text += self._rest()
            self.finish = "stop" if self._stops.found else told.finish
        self._sent += len(text)
        if not text and not self.finish:
            return None
        ids = tuple(self._ids)
        self._ids = []
        return Piece(text, self._showable(), ids, self.finish)

    def _showable(self) -> tuple[Shown, ...]:
        """Return the tokens whose text was sent; at the end, where no stop string cut it, all."""
        whole = self.finish is not None and not self._stops.found
        shown = tuple(one for one in self._shown if whole or one.offset < self._sent)
        self._shown = self._shown[len(shown) :]
        return shown

    def _add(self, drawn: Sequence[Token]) -> str:
        if self._at_once or not (self._stops.strings or self._logprobs):
            self.tokens += len(drawn)
            self._ids.extend(one.id for one in drawn)
            return "" if self._at_once else self._text.add([one.id for one in drawn])
        text = ""
        for one in drawn:
            self.tokens += 1
            self._ids.append(one.id)
            if self._logprobs:
                self._shown.append(Shown(one, self._decoded))
            raw = self._text.add((one.id,))
            self._decoded += len(raw)
            text += self._stops.add(raw)
            if self._stops.found:
                break
        return text

    def _rest(self) -> str:
        raw = self._text.add(self._ids) if self._at_once else ""
        text = self._stops.add(raw + self._text.end())
        return text + self._stops.end()
