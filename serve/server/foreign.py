"""Answers of another server: what is counted of them, what rails do to them, and its errors in OpenAI's form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from serve.server.answer.choice import Piece
from serve.server.checks import Checks, Messages
from serve.server.record import Record
from serve.server.refusal import Refusal

OWN_FAULT = {401, 403, 404}  # of the front's key or address: the client cannot mend them


def broken(what: str) -> Refusal:
    """Return the refusal for an answer that is none."""
    return Refusal(502, f"the upstream server {what}", code="upstream_error")


def count(answer: Mapping[str, Any], record: Record) -> None:
    """Note the tokens that an answer or an event tells of."""
    usage = answer.get("usage")
    if isinstance(usage, dict):
        told = [usage.get("prompt_tokens"), usage.get("completion_tokens") or 0]
        if all(type(one) is int and one >= 0 for one in told):
            record.prompt_tokens, record.tokens = told  # type: ignore[assignment]
    for one in answer.get("choices") or []:
        if isinstance(one, dict) and one.get("finish_reason"):
            record.finish.append(str(one["finish_reason"])[:40])


def refusal(status: int, content: bytes) -> Refusal:
    """Return an error of another server as this one tells it: 4xx as it came, all else as 502."""
    said: Any = ""
    param: Any = None
    code: Any = ""
    try:
        told = json.loads(content)
        told = told.get("error", told) if isinstance(told, dict) else {}
        if isinstance(told, dict):
            said, param, code = (told.get(name) for name in ("message", "param", "code"))
            said = said or told.get("detail") or ""
        else:
            said = told
    except ValueError:
        pass
    line = " ".join(str(said).split())[:500]
    if 400 <= status < 500 and status not in OWN_FAULT | {429}:
        named = code if isinstance(code, str) and code else "upstream_error"
        field = param if isinstance(param, str) else None
        return Refusal(status, line or f"the upstream server answered {status}", field, named)
    if status == 404 and line and code == "model_not_found":
        return Refusal(404, line, "model", "model_not_found")
    if status == 429:
        return Refusal(429, line or "the upstream server is busy", None, "upstream_busy", retry_after=1)
    return Refusal(502, f"the upstream server answered {status}{f': {line}' if line else ''}", code="upstream_error")


async def check(answer: dict[str, Any], said: Sequence[Messages], checks: Checks, record: Record) -> None:
    """Put the texts and the arguments of calls of an answer through the rails, in their place."""
    choices = answer.get("choices")
    if not isinstance(choices, list) or len(choices) != len(said) or not all(isinstance(one, dict) for one in choices):
        raise broken("gave another number of completions than were asked for")
    for choice, messages in zip(choices, said):
        holder, name = (choice, "text") if "text" in choice else (choice.get("message"), "content")
        if not isinstance(holder, dict):
            raise broken("gave a completion without a text")
        places = [(holder, name)]
        places += [(holder, one) for one in ("reasoning_content", "reasoning") if holder.get(one)]
        places += [(one["function"], "arguments") for one in holder.get("tool_calls") or []]
        for place, field in places:
            text = place.get(field) or ""
            piece = await checks.answer(Piece(text), messages, record)
            if piece.finish:
                refused = {"role": "assistant", "content": piece.text} if name == "content" else {}
                holder.clear() if name == "content" else None
                holder.update(refused or {"text": piece.text})
                choice["finish_reason"] = piece.finish
            elif piece.text != text:
                place[field] = piece.text
            if piece.finish or piece.text != text:
                choice["logprobs"] = None
                choice.pop("token_ids", None)
            if piece.finish:
                break


def as_chunks(answer: dict[str, Any], wants_usage: bool) -> list[dict[str, Any]]:
    """Return a whole answer as the events of a stream."""
    usage = answer.pop("usage", None)
    choices, made = answer.pop("choices"), []
    if answer.get("object") == "chat.completion":
        answer["object"] = "chat.completion.chunk"
        for one in choices:
            message = one.pop("message")
            for number, call in enumerate(message.get("tool_calls") or []):
                call["index"] = number
            one["delta"] = message
    for one in choices:
        made.append({**answer, "choices": [one]} | ({"usage": None} if wants_usage else {}))
    return [*made, {**answer, "choices": [], "usage": usage}] if wants_usage else made
