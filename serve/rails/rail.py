"""The interface of rails: a text in, a verdict out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

Side = Literal["input", "output"]
Message = dict[str, str]  # role, content


@dataclass(frozen=True)
class Verdict:
    """What a rail says of a text."""

    allowed: bool
    text: str  # as it goes on: the same, or with parts replaced
    reason: str = ""  # one line for the log and the metrics; never the text itself
    found: int = 0  # matches that were replaced or refused


class Rail(Protocol):
    """One check. Calls may come from several threads; one that cannot decide raises ServeError: nothing passes then."""

    name: ClassVar[str]

    def check(self, text: str, side: Side, before: Sequence[Message]) -> Verdict:
        """Judge a user's text or the model's answer; `before`: the messages that came before it."""
        ...
