"""Whole answers of another server, made anew of what rails let pass; all that they do not read stays here."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

from serve.server.answer.choice import Piece
from serve.server.answer.completion import usage
from serve.server.checks import Checks, Messages
from serve.server.foreign import broken
from serve.server.record import Record

TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
FINISHES = ("stop", "length", "tool_calls", "function_call", "content_filter")


class _Refused(Exception):
    """Carries what a rail says in the place of an answer."""


async def check(
    answer: dict[str, Any], said: Sequence[Messages], checks: Checks, record: Record, chat: bool
) -> dict[str, Any]:
    """Return an answer whose texts, names and arguments of calls have passed the rails, each by itself.

    said: what each completion answers. Ids are new; logprobs and token ids, which would tell more than the text, are
    left out, and so is every field that is not known. Raises Refusal: 502 for another number of completions than were
    asked for, or what is no text in a text's place.
    """
    choices = sorted(answer["choices"], key=lambda one: one["index"] if type(one.get("index")) is int else -1)
    if [one.get("index") for one in choices] != list(range(len(said))):
        raise broken("gave another number of completions than were asked for")
    made = []
    for number, (choice, messages) in enumerate(zip(choices, said)):
        reader = _Reader(checks, messages, record)
        finish = choice.get("finish_reason")
        finish = finish if finish in FINISHES else "stop"
        try:
            if chat:
                content: dict[str, Any] = {"message": await reader.message(choice["message"])}
            else:
                content = {"text": await reader.text(choice["text"])}
        except _Refused as refused:
            finish, told = "content_filter", str(refused)
            content = {"message": {"role": "assistant", "content": told}} if chat else {"text": told}
        made.append({"index": number, **content, "logprobs": None, "finish_reason": finish})
    kind, prefix = ("chat.completion", "chatcmpl") if chat else ("text_completion", "cmpl")
    return {
        "id": f"{prefix}-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": record.model,
        "choices": made, "usage": usage(record.prompt_tokens, record.tokens),
    }  # fmt: skip


class _Reader:
    """Puts the texts of one completion through the rails."""

    def __init__(self, checks: Checks, messages: Messages, record: Record) -> None:
        self._checks, self._messages, self._record = checks, messages, record

    async def text(self, text: Any) -> str:
        """Return a text as it may leave. Raises _Refused."""
        if not isinstance(text, str):
            raise broken("gave a completion without a text")
        piece = await self._checks.answer(Piece(text), self._messages, self._record)
        if piece.finish:
            raise _Refused(piece.text)
        return piece.text

    async def message(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return a message of an assistant as it may leave."""
        made: dict[str, Any] = {"role": "assistant", "content": None}
        for name in TEXTS:
            if given.get(name) is not None:
                made[name] = await self.text(given[name])
        if called := given.get("tool_calls"):
            functions = [await self.call(one["function"]) for one in called]
            made["tool_calls"] = [
                {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": one} for one in functions
            ]
        if given.get("function_call"):
            made["function_call"] = await self.call(given["function_call"])
        return made

    async def call(self, function: dict[str, Any]) -> dict[str, str]:
        """Return the name and the arguments of a call as they may leave."""
        return {name: await self.text(function.get(name) or "") for name in ("name", "arguments")}


def as_chunks(answer: dict[str, Any], wants_usage: bool) -> list[dict[str, Any]]:
    """Return a whole answer as the events of a stream."""
    usage = answer.pop("usage", None)
    choices, made = answer.pop("choices"), []
    if answer["object"] == "chat.completion":
        answer["object"] = "chat.completion.chunk"
        for one in choices:
            message = one.pop("message")
            for number, call in enumerate(message.get("tool_calls") or []):
                call["index"] = number
            one["delta"] = message
    for one in choices:
        made.append({**answer, "choices": [one]} | ({"usage": None} if wants_usage else {}))
    return [*made, {**answer, "choices": [], "usage": usage}] if wants_usage else made
