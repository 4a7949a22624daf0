"""Tool calls in an answer's text.

Read are the forms that models are taught: `<tool_call>{...}</tool_call>` (Hermes, Qwen), and JSON objects with a name
and arguments (or parameters), one a line or in a list, by themselves at the end of an answer (Llama 3, and the form
that align's built-in templates write). A call of a tool that was not offered is text, and so is one whose arguments
JSON cannot hold (NaN, half a character). Cost: linear in the text.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NoReturn

OPEN, CLOSE = "<tool_call>", "</tool_call>"


@dataclass(frozen=True)
class Call:
    """One call: a tool's name, and its arguments as JSON."""

    name: str
    arguments: str


def find(text: str, offered: Collection[str]) -> tuple[str, list[Call]]:
    """Return the text before an answer's calls, and the calls; where one is no sound call, the whole text and none."""
    if (first := text.find(OPEN)) >= 0:
        calls = _tagged(text, first, offered)
        return (text[:first].rstrip(), calls) if calls else (text, [])
    lines = text.strip().splitlines()
    for number, line in enumerate(lines):
        if line.lstrip()[:1] in ("{", "["):
            if calls := _calls("\n".join(lines[number:]), offered):
                return "\n".join(lines[:number]).rstrip(), calls
            break
    return text, []


def _tagged(text: str, at: int, offered: Collection[str]) -> list[Call]:
    """Return the calls in the tags of a text, of which the first opens at `at`.

    None where one is unsound, or where anything follows the last.
    """
    found: list[Call] = []
    while at >= 0:
        end = text.find(CLOSE, at)
        end = len(text) if end < 0 else end
        calls = _calls(text[at + len(OPEN) : end], offered)
        if not calls:
            return []
        found += calls
        after = end + len(CLOSE)
        at = text.find(OPEN, after)
    return [] if text[after:].strip() else found


def _calls(text: str, offered: Collection[str]) -> list[Call]:
    """Return the calls that a text consists of; none where it holds anything else."""
    decoder, at, found = json.JSONDecoder(parse_constant=_no_number), 0, list[Call]()
    text = text.strip()
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        for one in value if isinstance(value, list) else [value]:
            call = _call(one, offered)
            if call is None:
                return []
            found.append(call)
        while at < len(text) and text[at] in " \t\r\n;":
            at += 1
    return found


def _call(value: Any, offered: Collection[str]) -> Call | None:
    if not isinstance(value, dict) or value.get("name") not in offered:
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    try:
        if isinstance(arguments, str):
            arguments = json.loads(arguments, parse_constant=_no_number)
        if not isinstance(arguments, dict):
            return None
        written = json.dumps(arguments, ensure_ascii=False, allow_nan=False)  # 1e999 is read as infinite
        written.encode()
    except (ValueError, RecursionError):
        return None
    return Call(value["name"], written)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
