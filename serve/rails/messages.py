"""The texts of a message, and the message with others in their place."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from serve.rails.rail import Message

NAMES = frozenset({"role", "type", "id", "tool_call_id"})  # fields that hold a name; what is no name there is a text
NAME = re.compile(r"[\w.:-]{0,64}")
DATA: dict[str, dict[str, re.Pattern[str]]] = {  # parts that are no text -> their fields that hold what no model reads
    "image_url": {"url": re.compile(r"data:[\w.+/-]+;base64,[A-Za-z0-9+/=_-]*|https?://\S+")},
    "input_audio": {"data": re.compile(r"[A-Za-z0-9+/=_-]*")},
    "file": {"file_data": re.compile(r"(data:[\w.+/-]+;base64,)?[A-Za-z0-9+/=_-]*"), "file_id": NAME},
}


def changed(message: Message, become: Callable[[str], str]) -> Message:
    """Return a message of which each text is what `become` makes of it; the message itself stays as it is.

    Texts are all strings that are not white space: content, whole or in parts, names, reasons of refusal, names and
    arguments of tool calls, definitions of tools, names of files. What names a role, a kind or an id is none, nor are
    addresses and contents of images, sounds and files, where they stand in the fields that OpenAI has for them.
    """
    left: Message = _changed(message, become)
    return left


def texts(message: Message) -> list[str]:
    """Return the texts of a message, in order."""
    found: list[str] = []

    def kept(text: str) -> str:
        found.append(text)
        return text

    changed(message, kept)
    return found


def parts(message: Message) -> list[str]:
    """Return the texts of a message's content, blank ones too: what stands between two others is read with them."""
    found: list[str] = []

    def kept(text: str) -> str:
        found.append(text)
        return text

    _changed(message.get("content"), kept, blank=True)
    return found


def joined(message: Message, text: str) -> Message:
    """Return a message whose content has one text, in place of all that it had; other parts stay."""
    content = message.get("content")
    others = [one for one in content if not parts({"content": [one]})] if isinstance(content, list | tuple) else []
    return {**message, "content": [{"type": "text", "text": text}, *others] if others else text}


def _kept(name: str, value: Any) -> bool:
    return name in NAMES and isinstance(value, str) and NAME.fullmatch(value) is not None


def _changed(value: Any, become: Callable[[str], str], name: str = "", blank: bool = False) -> Any:
    if isinstance(value, str):
        return become(value) if blank or (value and not value.isspace()) else value
    if isinstance(value, dict):
        data = DATA.get(name, {})
        return {
            key: one if _kept(key, one) or (key in data and _is(data[key], one)) else _changed(one, become, key, blank)
            for key, one in value.items()
        }
    return [_changed(one, become, blank=blank) for one in value] if isinstance(value, list | tuple) else value


def _is(form: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None
