"""POST /v1/score: what a reward model is to judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from align.data.record import Raw
from serve.server.asked.chat import messages
from serve.server.asked.common import Limits
from serve.server.asked.fields import Field, ignored, take, text, wrong
from serve.server.refusal import Refusal

KINDS = ("messages", "pairs", "texts")


@dataclass(frozen=True)
class ScoreAsked:
    """Conversations that end with an answer, or plain texts."""

    model: str
    conversations: tuple[tuple[Raw, ...], ...]
    texts: tuple[str, ...]

    @property
    def completions(self) -> int:
        """Return how many sequences are judged."""
        return len(self.conversations) + len(self.texts)


def read(body: Mapping[str, Any], limits: Limits) -> ScoreAsked:
    """Return what a body asks for: one of `messages`, `pairs` and `texts`. Raises Refusal (400)."""
    given = take(
        body,
        {
            "model": Field(text, ""),
            "messages": Field(_conversations, ()),
            "pairs": Field(_pairs, ()),
            "texts": Field(_texts, ()),
            "user": Field(ignored),
        },
    )
    if sum(bool(given[kind]) for kind in KINDS) != 1:
        raise Refusal(400, f"give one of {', '.join(KINDS)}", "messages", "missing_required_parameter")
    asked = ScoreAsked(given["model"], given["messages"] or given["pairs"], given["texts"])
    if asked.completions > limits.max_completions:
        raise Refusal(400, f"{asked.completions} sequences are given; one request may give {limits.max_completions}")
    return asked


def _conversations(value: Any, name: str) -> tuple[tuple[Raw, ...], ...]:
    if isinstance(value, list) and value and all(isinstance(one, list) for one in value):
        return tuple(messages(one, f"{name}[{number}]") for number, one in enumerate(value))
    return (messages(value, name),)


def _pairs(value: Any, name: str) -> tuple[tuple[Raw, ...], ...]:
    expected = "a list of objects with prompt and response, both strings"
    if not isinstance(value, list) or not value:
        wrong(name, value, expected)
    made = []
    for number, one in enumerate(value):
        strings = isinstance(one, dict) and all(isinstance(one.get(side), str) for side in ("prompt", "response"))
        if not strings or set(one) != {"prompt", "response"}:
            wrong(f"{name}[{number}]", one, expected)
        made.append(({"role": "user", "content": one["prompt"]}, {"role": "assistant", "content": one["response"]}))
    return tuple(made)


def _texts(value: Any, name: str) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed or not all(isinstance(one, str) and one for one in listed):
        wrong(name, value, "a string, or a list of strings, none of them empty")
    return tuple(listed)
