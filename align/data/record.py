"""What every format becomes: a conversation, and what it is judged by."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
Raw = Mapping[str, Any]  # a record as its file holds it


class Unfit(Exception):
    """A record that cannot be used: `reason` is counted, `detail` is told of the first of its kind."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Message:
    """One turn."""

    role: Role
    content: str
    calls: tuple[Raw, ...] = ()  # of tools, by an assistant: each {name, arguments}


@dataclass(frozen=True)
class Record:
    """A record of any format.

    A conversation ends with the answer that is learnt, labelled or rated; a prompt without an answer ends with the
    user's or a tool's turn. Of a preference, `messages` are the prompt alone and `sides` the chosen and the rejected
    continuation.
    """

    id: str  # its own, else a hash of its content
    place: str  # file:number, from 1: the line of JSON Lines, the element of a JSON array, the row of Parquet
    messages: tuple[Message, ...]
    sides: tuple[tuple[Message, ...], ...] = ()
    fields: Mapping[str, float] = field(default_factory=dict)  # label; margin and scores; attributes
    task: Mapping[str, Any] = field(default_factory=dict)  # what a reward needs: answer, tests, ...
    tools: tuple[Raw, ...] = ()  # definitions, each {type: function, function: {...}}

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Return the turns that call for an answer: all but a final assistant turn."""
        return self.messages[:-1] if self.messages and self.messages[-1].role == "assistant" else self.messages

    @property
    def question(self) -> str:
        """Return the text of the last user turn, "" where there is none."""
        return next((one.content for one in reversed(self.prompt) if one.role == "user"), "")


def id_of(raw: Raw, content: Sequence[Any]) -> str:
    """Return a record's own id (`id`, `task_id`, ...; a string or whole number), else a hash of `content`."""
    import xxhash

    for name in ("id", "task_id", "unique_id", "prompt_id"):
        own = raw.get(name)
        if isinstance(own, str | int) and not isinstance(own, bool) and own != "":
            return str(own)
    plain = json.dumps([_plain(one) for one in content], ensure_ascii=True, sort_keys=True)
    return str(xxhash.xxh3_128_hexdigest(plain.encode()))


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return [value.role, value.content, *value.calls]
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
