"""The texts of a message, and the message with others in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from serve.rails.rail import Message

NO_TEXT = frozenset({"role", "type", "id", "tool_call_id", "image_url", "input_audio", "file"})


def changed(message: Message, become: Callable[[str], str]) -> Message:
    """Return a message of which each text is what `become` makes of it; the message itself stays as it is.

    Texts are all strings that are not white space: content, whole or in parts, names, reasons of refusal, names and
    arguments of tool calls. What names a role, a kind or an id is none, nor are images, sounds and files.
    """
    return {name: value if name in NO_TEXT else _changed(value, become) for name, value in message.items()}


def _changed(value: Any, become: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return become(value) if value and not value.isspace() else value
    if isinstance(value, dict):
        return changed(value, become)
    return [_changed(one, become) for one in value] if isinstance(value, list | tuple) else value
