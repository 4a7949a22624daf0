"""Tool calls in an answer's text.

Read are the forms that models are taught: `<tool_call>{...}</tool_call>` (Hermes, Qwen), and JSON objects with a name
and arguments (or parameters), one a line or in a list, by themselves at the end of an answer (Llama 3, and the form
that align's built-in templates write). A call of a tool that was not offered is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

TAGGED = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Call:
    """One call: a tool's name, and its arguments as JSON."""

    name: str
    arguments: str


def find(text: str, offered: Collection[str]) -> tuple[str, list[Call]]:
    """Return the text before an answer's calls, and the calls; where one is no sound call, the whole text and none."""
    if tagged := list(TAGGED.finditer(text)):
        calls = [call for one in tagged for call in _calls(one[1], offered)]
        whole = len(calls) >= len(tagged) and not text[tagged[-1].end() :].strip()
        return (text[: tagged[0].start()].rstrip(), calls) if whole else (text, [])
    lines = text.strip().splitlines()
    for first in range(len(lines)):
        if lines[first].lstrip()[:1] in ("{", "["):
            if calls := _calls("\n".join(lines[first:]), offered):
                return "\n".join(lines[:first]).rstrip(), calls
            break
    return text, []


def _calls(text: str, offered: Collection[str]) -> list[Call]:
    """Return the calls that a text consists of; none where it holds anything else."""
    decoder, at, found = json.JSONDecoder(), 0, list[Call]()
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
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return None
    if not isinstance(arguments, dict):
        return None
    return Call(value["name"], json.dumps(arguments, ensure_ascii=False))
