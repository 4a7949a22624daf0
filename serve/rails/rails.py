"""Several rails as one: before the model reads and after it answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from serve.errors import RailError
from serve.rails.messages import changed, texts
from serve.rails.rail import Action, Message, Rail, Side

Outcome = Literal["passed", "flagged", "redacted", "refused", "failed"]
PASSED: Outcome = "passed"
FAILED: Outcome = "failed"
DONE: dict[Action, Outcome] = {"refuse": "refused", "redact": "redacted", "flag": "flagged"}
ROLES = ("system", "developer", "user", "assistant", "tool", "function")


@dataclass(frozen=True)
class Place:
    """Where a rail stands and what becomes of a text in which it finds something."""

    name: str  # in logs and metrics
    action: Action
    side: Literal["input", "output", "both"] = "both"
    refusal: str = "I can't help with that."  # said in place of an answer
    roles: tuple[str, ...] = ROLES  # whose messages it checks on the input side: a client sends them all
    messages: Literal["all", "last"] = "all"  # of those roles; last: earlier ones pass unseen


@dataclass(frozen=True)
class Placed:
    """A rail in its place."""

    place: Place
    rail: Rail


@dataclass(frozen=True)
class Refusal:
    """Said in place of an answer."""

    text: str  # for the client
    rail: str
    side: Side
    reason: str  # for the log; never the text, nor any part of it


@dataclass(frozen=True)
class Event:
    """What came of one rail in one check, for metrics and the log; it holds no text."""

    rail: str
    kind: str
    side: Side
    outcome: Outcome
    found: int  # matches
    seconds: float
    reason: str  # one line; "" where it passed


class Rails:
    """Rails in their order, each of which sees what those before it have left; the first refusal ends a check.

    Usable from several threads. `observe` is called once a rail and check, on the caller's thread. Checks wait for
    judges and models: a server calls them outside its event loop.
    """

    def __init__(self, placed: Sequence[Placed], observe: Callable[[Event], None] = lambda event: None):
        self.placed = tuple(placed)
        self._observe = observe

    def guards(self, side: Side) -> bool:
        """Tell whether any rail is on a side. Of the output: then an answer leaves only when it is whole."""
        return any(one.place.side in (side, "both") for one in self.placed)

    def check_input(self, messages: Sequence[Message]) -> list[Message] | Refusal:
        """Return the messages as the model shall read them, or a refusal. Raises RailError: nothing passes then.

        A completion's prompt goes as one message of the user.
        """
        left = list(messages)
        for one in self.placed:
            if one.place.side == "output":
                continue
            skipped = set(ROLES) - set(one.place.roles)  # a role that nobody knows is checked
            numbers = [n for n, message in enumerate(left) if message.get("role") not in skipped]
            made = self._applied(one, "input", left, numbers if one.place.messages == "all" else numbers[-1:])
            if isinstance(made, Refusal):
                return made
            left = made
        return left

    def check_output(self, text: str, messages: Sequence[Message]) -> str | Refusal:
        """Return the answer as it may leave, or a refusal; `messages` are what it answers. Raises RailError."""
        left = [*messages, {"role": "assistant", "content": text}]
        for one in self.placed:
            if one.place.side == "input":
                continue
            made = self._applied(one, "output", left, [len(left) - 1])
            if isinstance(made, Refusal):
                return made
            left = made
        return str(left[-1]["content"])

    def _applied(
        self, one: Placed, side: Side, messages: Sequence[Message], numbers: Sequence[int]
    ) -> list[Message] | Refusal:
        """Return the messages as a rail leaves those of the given numbers, or its refusal; tell what came of it."""
        began, left, check, outcome = time.perf_counter(), list(messages), _Check(one, side), FAILED
        try:
            for number in numbers:
                left[number] = check.read(left[number], tuple(left[:number]))
            outcome = DONE[one.place.action] if check.found else PASSED
        except _Refused:
            outcome = DONE["refuse"]
            return Refusal(one.place.refusal, one.place.name, side, check.reason)
        finally:
            seconds = time.perf_counter() - began
            self._observe(Event(one.place.name, one.rail.kind, side, outcome, check.found, seconds, check.reason))
        return left


class _Refused(Exception):
    """Ends a check."""


class _Check:
    """One rail over the texts of one check."""

    def __init__(self, one: Placed, side: Side):
        self.one, self.side, self.found, self.reason = one, side, 0, ""

    def read(self, message: Message, before: Sequence[Message]) -> Message:
        """Return a message as the rail's action leaves it. Raises _Refused, and RailError whatever a rail failed of.

        A rail that can redact gets text by text; one that cannot reads what the message says as a whole.
        """
        if "redact" in self.one.rail.actions:
            return changed(message, lambda text: self._become(text, before))
        if whole := "\n".join(texts(message)):
            self._become(whole, before)
        return message

    def _become(self, text: str, before: Sequence[Message]) -> str:
        place = self.one.place
        try:
            verdict = self.one.rail.check(text, self.side, before)
        except RailError as error:
            raise RailError(f"rail {place.name} cannot decide: {error}") from error.__cause__
        except Exception as error:  # of a model or library of any kind; its words may quote the text
            raise RailError(f"rail {place.name} cannot decide: {type(error).__name__}") from error
        if verdict.allowed:
            return text
        self.found, self.reason = self.found + verdict.found, self.reason or verdict.reason
        if place.action == "refuse":
            raise _Refused
        return verdict.text if place.action == "redact" else text
