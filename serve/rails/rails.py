"""Several rails as one: before the model reads and after it answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from serve.errors import RailError
from serve.rails.messages import changed, joined, parts, texts
from serve.rails.rail import Action, Message, Rail, Side, Verdict

Outcome = Literal["passed", "flagged", "redacted", "refused", "failed"]
PASSED: Outcome = "passed"
FAILED: Outcome = "failed"
DONE: dict[Action, Outcome] = {"refuse": "refused", "redact": "redacted", "flag": "flagged"}
SEAMS = ("\n", "")  # between the parts of a content, as templates join them
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


class Abandoned(Exception):
    """Nobody waits for the check any more."""


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

    def check_input(self, messages: Sequence[Message], left: Callable[[], bool] = lambda: False
                    ) -> list[Message] | Refusal:  # fmt: skip
        """Return the messages as the model shall read them, or a refusal. Raises RailError: nothing passes then.

        A completion's prompt goes as one message of the user. `left` is asked before each text; where it is true
        Abandoned is raised, and nothing told of that rail.
        """
        kept = list(messages)
        for one in self.placed:
            if one.place.side == "output":
                continue
            skipped = set(ROLES) - set(one.place.roles)  # a role that nobody knows is checked
            numbers = [n for n, message in enumerate(kept) if message.get("role") not in skipped]
            made = self._applied(one, "input", kept, numbers if one.place.messages == "all" else numbers[-1:], left)
            if isinstance(made, Refusal):
                return made
            kept = made
        return kept

    def check_output(self, text: str, messages: Sequence[Message], left: Callable[[], bool] = lambda: False
                     ) -> str | Refusal:  # fmt: skip
        """Return the answer as it may leave, or a refusal; `messages` are what it answers. Raises as `check_input`."""
        kept = [*messages, {"role": "assistant", "content": text}]
        for one in self.placed:
            if one.place.side == "input":
                continue
            made = self._applied(one, "output", kept, [len(kept) - 1], left)
            if isinstance(made, Refusal):
                return made
            kept = made
        return str(kept[-1]["content"])

    def _applied(
        self, one: Placed, side: Side, messages: Sequence[Message], numbers: Sequence[int], left: Callable[[], bool]
    ) -> list[Message] | Refusal:
        """Return the messages as a rail leaves those of the given numbers, or its refusal; tell what came of it."""
        began, kept, check = time.perf_counter(), list(messages), _Check(one, side, left)
        outcome: Outcome | None = FAILED
        try:
            for number in numbers:
                kept[number] = check.read(kept[number], tuple(kept[:number]))
            outcome = DONE[one.place.action] if check.found else PASSED
        except _Refused:
            outcome = DONE["refuse"]
            return Refusal(one.place.refusal, one.place.name, side, check.reason)
        except Abandoned:
            outcome = None
            raise
        finally:
            if outcome is not None:
                seconds = time.perf_counter() - began
                self._observe(Event(one.place.name, one.rail.kind, side, outcome, check.found, seconds, check.reason))
        return kept


class _Refused(Exception):
    """Ends a check."""


class _Check:
    """One rail over the texts of one check."""

    def __init__(self, one: Placed, side: Side, left: Callable[[], bool]):
        self.one, self.side, self._left, self.found, self.reason = one, side, left, 0, ""

    def read(self, message: Message, before: Sequence[Message]) -> Message:
        """Return a message as the rail's action leaves it. Raises _Refused, and RailError whatever a rail failed of.

        A rail that can redact gets each text by itself, the parts of a content joined; one that cannot reads what the
        message says as a whole.
        """
        if "redact" not in self.one.rail.actions:
            if whole := "\n".join(texts(message)):
                self._become(whole, before)
            return message
        made = changed({name: value for name, value in message.items() if name != "content"}, self._becoming(before))
        content = {"content": message["content"]} if "content" in message else {}
        several = len(parts(message)) > 1
        content = self._joined(content, before) if several else changed(content, self._becoming(before))
        return {name: content[name] if name == "content" else made[name] for name in message}

    def _joined(self, content: Message, before: Sequence[Message]) -> Message:
        """Return a content of several parts as the action leaves it.

        A model reads the parts joined, by line ends or by nothing: so they are judged. What is found within parts is
        replaced there; only where more is found, across them, they become one.
        """
        verdicts = [self._verdict(seam.join(parts(content)), before) for seam in SEAMS]
        most = max(verdicts, key=lambda one: (not one.allowed, one.found))
        if self.one.place.action != "redact" or most.allowed:
            self._note(most)
            return content
        left = changed(content, self._becoming(before))
        if self.found >= most.found:
            return left
        for seam in SEAMS:
            whole = seam.join(parts(left))
            if (redacted := self._become(whole, before)) != whole:
                left = joined(left, redacted)
        return left

    def _becoming(self, before: Sequence[Message]) -> Callable[[str], str]:
        return lambda text: self._become(text, before)

    def _become(self, text: str, before: Sequence[Message]) -> str:
        verdict = self._verdict(text, before)
        self._note(verdict)
        return text if verdict.allowed or self.one.place.action != "redact" else verdict.text

    def _note(self, verdict: Verdict) -> None:
        if verdict.allowed:
            return
        self.found, self.reason = self.found + verdict.found, self.reason or verdict.reason
        if self.one.place.action == "refuse":
            raise _Refused

    def _verdict(self, text: str, before: Sequence[Message]) -> Verdict:
        if self._left():
            raise Abandoned
        place = self.one.place
        try:
            return self.one.rail.check(text, self.side, before)
        except RailError as error:
            raise RailError(f"rail {place.name} cannot decide: {error}") from error.__cause__
        except Exception as error:  # of a model or library of any kind; its words may quote the text
            raise RailError(f"rail {place.name} cannot decide: {type(error).__name__}") from error
