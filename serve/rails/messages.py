"""The texts of a message, and the message with others in their place."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from serve.rails.rail import Message

NAMES = frozenset({"role", "type", "id", "tool_call_id"})  # fields that hold a name; what is no name there is a text
NO_TEXT = frozenset({"image_url", "input_audio", "file"})
NAME = re.compile(r"[\w.:-]{0,64}")


def changed(message: Message, become: Callable[[str], str]) -> Message:
    """Return a message of which each text is what `become` makes of it; the message itself stays as it is.

    Texts are all strings that are not white space: content, whole or in parts, names, reasons of refusal, names and
    arguments of tool calls, definitions of tools. What names a role, a kind or an id is none, nor are images, sounds
    and files.
    """
    return {name: value if _kept(name, value) else _changed(value, become) for name, value in message.items()}


def texts(message: Message) -> list[str]:
    """Return the texts of a message, in order."""
    found: list[str] = []

    def kept(text: str) -> str:
        found.append(text)
        return text

    changed(message, kept)
    return found


def _kept(name: str, value: Any) -> bool:
    return name in NO_TEXT or (name in NAMES and isinstance(value, str) and NAME.fullmatch(value) is not None)


def _changed(value: Any, become: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return become(value) if value and not value.isspace() else value
    if isinstance(value, dict):
        return changed(value, become)
    return [_changed(one, become) for one in value] if isinstance(value, list | tuple) else value
