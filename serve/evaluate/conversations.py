"""Conversations out of files, in the formats that alignment reads, every mistake named by file and line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from align.data.formats import FORMATS, format_of
from align.data.record import Message, Record, Unfit
from serve.errors import EvaluationError
from serve.evaluate import files


@dataclass(frozen=True)
class Talk:
    """A record and the group that its file puts it in."""

    record: Record
    group: str  # "": none


def read(task: str, path: Any, format: str, group: str, limit: int = 0) -> tuple[list[Talk], dict[str, str]]:
    """Return the first `limit` (0: all) records of files, and each file's SHA-256 by its name.

    format: one of align.data.formats; "auto": by the fields of each record. group: a field whose values are averaged
    by themselves, where a record has it. Raises EvaluationError with file, line and field for what is unfit.
    """
    items, known = files.read(task, path)
    made = []
    for item in items[: limit or None]:
        name = format_of(item.value) if format == "auto" else format
        if name not in FORMATS:
            there = ", ".join(map(str, item.value)) or "none"
            raise EvaluationError(f"{item.place}: no format of conversations is known by its fields: {there}")
        try:
            record = FORMATS[name](item.value, item.place)
        except Unfit as unfit:
            there = ", ".join(map(str, item.value))
            said = f"{unfit.reason}: {unfit.detail}" if unfit.detail else unfit.reason
            raise EvaluationError(f"{item.place}: {said}; fields of the record: {there}") from None
        found = item.value.get(group) if group else None
        made.append(Talk(record, "" if found is None else str(found)))
    return made, known


def plain(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return turns as OpenAI's messages."""
    return [
        {"role": one.role, "content": one.content}
        | ({"tool_calls": [{"type": "function", "function": dict(call)} for call in one.calls]} if one.calls else {})
        for one in messages
    ]


def written(messages: Sequence[Message]) -> str:
    """Return a conversation as a judge reads it: of one user's turn its text, else each turn under its role."""
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"[{one.role}]\n{one.content}" for one in messages)


def grouped(names: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    """Yield the groups that there are, in order of appearance, each with the places of its items."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    yield from ((name, found) for name, found in places.items() if name)
