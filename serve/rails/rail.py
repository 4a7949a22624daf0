"""The interface of rails: a text in, a verdict out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

Side = Literal["input", "output"]
Action = Literal["refuse", "redact", "flag"]
Message = dict[str, Any]  # of OpenAI's chat completions: role, content, ...


@dataclass(frozen=True)
class Verdict:
    """What a rail says of a text."""

    allowed: bool  # nothing was found; what becomes of a text in which something was is its action's affair
    text: str  # with what was found replaced, by a rail that can redact; else as it was
    reason: str = ""  # one line for the log; never the text, nor any part of it
    found: int = 0  # matches


class Rail(Protocol):
    """One check, a frozen dataclass. Calls may come from several threads.

    One that cannot decide raises RailError: nothing passes then.
    """

    kind: ClassVar[str]  # as a configuration calls it
    actions: ClassVar[tuple[Action, ...]]  # that make sense; the first is the usual one

    def prepare(self) -> None:
        """Load what it needs, before anything is served. Raises ServeSettingsError for what is missing or wrong."""
        ...

    def check(self, text: str, side: Side, before: Sequence[Message]) -> Verdict:
        """Judge a message's text or the model's answer; `before`: the messages that came before it."""
        ...
