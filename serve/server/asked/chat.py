"""POST /v1/chat/completions: what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from align.data import turns
from align.data.record import Message, Raw, Unfit
from serve.server.asked.common import MOST_TOP, Common, Limits, common, table
from serve.server.asked.fields import Field, flag, ignored, only, take, whole, wrong
from serve.server.refusal import Refusal

MESSAGE = {"role", "content", "name", "tool_calls", "tool_call_id"}
NULL = {"refusal", "audio", "function_call", "annotations", "reasoning_content"}  # in answers that clients send back
EFFORT = ": it has no models that reason by effort"


@dataclass(frozen=True)
class ChatAsked:
    """A request for answers to a conversation."""

    common: Common
    messages: tuple[Raw, ...]  # as they came, their form checked
    tools: tuple[Raw, ...]  # shown to the model; none where tool_choice is "none"
    parallel_calls: bool  # an answer may hold more than one call

    @property
    def offered(self) -> tuple[str, ...]:
        """Return the names of the tools that may be called."""
        return tuple(str(one["function"]["name"]) for one in self.tools)


def read(body: Mapping[str, Any], limits: Limits) -> ChatAsked:
    """Return what a body asks for. Raises Refusal (400)."""
    given = take(body, _table(limits))
    if given["messages"] is None:
        raise Refusal(400, "messages is missing", "messages", "missing_required_parameter")
    if given["top_logprobs"] is not None and not given["logprobs"]:
        raise Refusal(400, "top_logprobs goes with logprobs: true only", "top_logprobs")
    newer = given["max_completion_tokens"]
    if newer is not None and given["max_tokens"] not in (None, newer):
        raise Refusal(400, "max_tokens and max_completion_tokens differ; give one of them", "max_tokens")
    given["max_tokens"] = given["max_tokens"] if newer is None else newer
    if given["max_tokens"] == 0:
        raise Refusal(400, "max_tokens is 0; it must be at least 1", "max_tokens")
    tools = given["tools"]
    if given["tool_choice"] and not tools:
        raise Refusal(400, "tool_choice goes with tools only", "tool_choice")
    shown = () if given["tool_choice"] == "none" else tools
    top = (given["top_logprobs"] or 0) if given["logprobs"] else None
    return ChatAsked(common(given, body, top), given["messages"], shown, given["parallel_tool_calls"])


def _table(limits: Limits) -> dict[str, Field]:
    why = ": nothing forces the form of what a model draws"
    return table(limits) | {
        "messages": Field(messages),
        "max_completion_tokens": Field(whole(0, limits.max_tokens)),
        "logprobs": Field(flag, False),
        "top_logprobs": Field(whole(0, MOST_TOP)),
        "tools": Field(_tools, ()),
        "tool_choice": Field(only(("auto", "none"), why), ""),
        "parallel_tool_calls": Field(flag, True),
        "response_format": Field(only({"type": "text"}, why)),
        "modalities": Field(only(["text"])),
        "reasoning_effort": Field(only("none", EFFORT)),
        "verbosity": Field(only("medium")),
        "prediction": Field(ignored),  # a hint for speed
        "functions": Field(only((), ": tools took its place")),
        "function_call": Field(only((), ": tool_choice took its place")),
        "audio": Field(only(())),
        "web_search_options": Field(only(())),
    }


def messages(value: Any, name: str) -> tuple[Raw, ...]:
    """Read a conversation: what each turn says, and whose it is; the order of roles is its template's affair."""
    if not isinstance(value, list) or not value:
        wrong(name, value, "a list of at least one message")
    for number, one in enumerate(value):
        place = f"{name}[{number}]"
        if not isinstance(one, dict):
            wrong(place, one, "an object with role and content")
        for field in one:
            if field not in MESSAGE and not (field in NULL and not one[field]):
                raise Refusal(400, f"{place} has the field {field[:64]!r}, which is not read here", place)
        turned(one, place)
    return tuple(value)


def turned(value: Raw, place: str) -> Message:
    """Return one message as a turn of a conversation. Raises Refusal."""
    try:
        return turns.turn(value)
    except Unfit as unfit:
        raise Refusal(400, f"{place}: {unfit.reason}, {unfit.detail}", place) from None


def _tools(value: Any, name: str) -> tuple[Raw, ...]:
    if not isinstance(value, list) or len(value) > 128:
        wrong(name, value, "a list of at most 128 tools")
    for number, one in enumerate(value):
        place = f"{name}[{number}]"
        function = one.get("function") if isinstance(one, dict) else None
        if not isinstance(function, dict) or one.get("type") != "function" or not isinstance(function.get("name"), str):
            wrong(place, one, 'an object such as {"type": "function", "function": {"name": ..., "parameters": ...}}')
    return tuple(value)
