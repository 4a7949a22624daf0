"""Turns in the two dialects, {role, content} and {from, value}, and the order that roles must keep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from align.data.record import Message, Raw, Role, Unfit

ROLES: dict[str, Role] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "chatbot": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool",
    "function_call": "assistant",
}  # fmt: skip
AFTER: dict[str, tuple[str, ...]] = {  # role -> what it may follow; "": it may begin
    "system": ("",),
    "user": ("", "system", "assistant"),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}


def turns(value: Any, system: Any = None) -> tuple[Message, ...]:
    """Return a list of turns as messages, `system` before them; an empty system turn is none. Raises Unfit."""
    if not isinstance(value, list | tuple):
        raise Unfit("no conversation", f"a list of turns was expected, not {type(value).__name__}")
    made = [turn(one) for one in value]
    if system:
        made.insert(0, Message("system", text_of(system)))
    return tuple(one for one in made if one.role != "system" or one.content.strip())


def turn(value: Any) -> Message:
    """Return one turn as a message. Raises Unfit for an unknown role or a turn that is not text."""
    if not isinstance(value, dict):
        raise Unfit("no conversation", f"a turn is {type(value).__name__}; an object was expected")
    name = value.get("role", value.get("from"))
    if not isinstance(name, str) or name not in ROLES:
        raise Unfit("unknown role", f"{name!r}; known are {', '.join(ROLES)}")
    content = value.get("content", value.get("value"))
    if name == "function_call":
        return Message("assistant", "", _sharegpt_calls(text_of(content)))
    called = value.get("tool_calls") or []
    if not isinstance(called, list):
        raise Unfit("broken tool call", f"tool_calls is {type(called).__name__}; a list was expected")
    calls = tuple(_openai_call(one) for one in called)
    return Message(ROLES[name], text_of("" if content is None and calls else content), calls)


def text_of(content: Any) -> str:
    """Return a turn's text: a string, or the text parts of a list joined by line ends. Raises Unfit."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = []
        for one in content:
            part = one.get("text") if isinstance(one, dict) and one.get("type", "text") == "text" else one
            if not isinstance(part, str):
                kind = part.get("type") if isinstance(part, dict) else type(part).__name__
                raise Unfit("a turn that is not text", f"a part of it is {kind!r}")
            parts.append(part)
        return "\n".join(parts)
    raise Unfit("empty turn" if content is None else "a turn that is not text", f"content is {type(content).__name__}")


def definitions(value: Any) -> tuple[Raw, ...]:
    """Return tool definitions, given as a list or as JSON of one, in OpenAI's form. Raises Unfit."""
    if isinstance(value, str):
        value = _json(value, "tools") if value.strip() else []
    if not isinstance(value, list | tuple | None) or not all(isinstance(one, dict) for one in value or ()):
        raise Unfit("broken tools", "a list of objects was expected")
    return tuple(one if "function" in one else {"type": "function", "function": one} for one in value or ())


def in_order(messages: Sequence[Message], before: Sequence[Message] = ()) -> None:
    """Raise Unfit for a turn without text or calls, or one whose role may not follow the one before it.

    A system turn may only be the first; then users and assistants alternate; tools answer an assistant, one or more
    in a row, and an assistant goes on after them.
    """
    last = before[-1].role if before else ""
    for number, one in enumerate(messages, len(before) + 1):
        if not one.content.strip() and not one.calls:
            raise Unfit("empty turn", f"turn {number}, of {one.role}")
        if last not in AFTER[one.role]:
            said = f"turn {number} is {one.role}, " + (f"after {last}" if last else "and the first")
            raise Unfit("roles out of order", said)
        last = one.role
    if not messages and not before:
        raise Unfit("no conversation", "it has no turns")


def _sharegpt_calls(text: str) -> tuple[Raw, ...]:
    calls = _json(text, "function_call")
    return tuple(_call(one) for one in (calls if isinstance(calls, list) else [calls]))


def _openai_call(value: Any) -> Raw:
    return _call(value.get("function", value) if isinstance(value, dict) else value)


def _call(value: Any) -> Raw:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise Unfit("broken tool call", "an object with name and arguments was expected")
    arguments = value.get("arguments", {})
    return {
        "name": value["name"],
        "arguments": _json(arguments, "arguments") if isinstance(arguments, str) else arguments,
    }


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Unfit("broken tool call", f"{what} is no JSON: {error}") from None
