"""Answers of another server: their form, what is counted of them, and its errors in OpenAI's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serve.server.asked import body
from serve.server.record import Record
from serve.server.refusal import Refusal

MOST = 2**31  # tokens that one request can have
MOST_FINISHES = 1024
OWN_FAULT = {401, 403, 404}  # of the front's key or address: the client cannot mend them


def broken(what: str) -> Refusal:
    """Return the refusal for an answer that is none."""
    return Refusal(502, f"the upstream server {what}", code="upstream_error")


def parsed(content: bytes) -> dict[str, Any]:
    """Return the JSON object of an answer or an event. Raises Refusal (502) for what this server could not send on."""
    try:
        return body.parse(content)
    except Refusal:
        raise broken("sends an answer that is no JSON object of sound text and finite numbers") from None


def formed(answer: dict[str, Any], chat: bool, whole: bool) -> dict[str, Any]:
    """Return an answer, or (not `whole`) an event of a stream. Raises Refusal (502) where its form is not OpenAI's."""
    choices: Any = answer.get("choices")
    if choices is None and not whole:
        return answer
    name, kind = ("message", dict) if chat else ("text", str)
    sound = isinstance(choices, list) and all(isinstance(one, dict) for one in choices)
    if sound and whole:
        sound = all(isinstance(one.get(name), kind) for one in choices)
    if sound and whole and chat:
        sound = all(_calls(one["message"]) for one in choices)
    if not sound:
        raise broken("sends an answer of another form than OpenAI's")
    return answer


def _calls(message: dict[str, Any]) -> bool:
    called = message.get("tool_calls") or []
    if not isinstance(called, list) or not all(isinstance(one, dict) for one in called):
        return False
    functions = [one.get("function") for one in called]
    functions += [message["function_call"]] if message.get("function_call") is not None else []
    return all(isinstance(one, dict) for one in functions)


def count(answer: Mapping[str, Any], record: Record) -> None:
    """Note the tokens that an answer or an event tells of, where they can be."""
    usage = answer.get("usage")
    if isinstance(usage, dict):
        told = [usage.get("prompt_tokens"), usage.get("completion_tokens") or 0]
        if all(type(one) is int and 0 <= one <= MOST for one in told):
            record.prompt_tokens, record.tokens = told  # type: ignore[assignment]
    choices = answer.get("choices")
    for one in choices if isinstance(choices, list) else []:
        if isinstance(one, dict) and one.get("finish_reason") and len(record.finish) < MOST_FINISHES:
            record.finish.append(str(one["finish_reason"])[:40])


def refusal(status: int, content: bytes) -> Refusal:
    """Return an error of another server as this one tells it: 4xx as it came, all else as 502."""
    said: Any = ""
    param: Any = None
    code: Any = ""
    try:
        told: Any = body.parse(content)
        told = told.get("error", told)
        if isinstance(told, dict):
            said, param, code = (told.get(name) for name in ("message", "param", "code"))
            said = said or told.get("detail") or ""
        else:
            said = told
    except Refusal:
        pass
    line = " ".join(str(said).split())[:500]
    if 400 <= status < 500 and status not in OWN_FAULT | {429}:
        named = code[:64] if isinstance(code, str) and code else "upstream_error"
        field = param[:64] if isinstance(param, str) else None
        # The reason is a label of a metric: no word of another server's.
        return Refusal(
            status, line or f"the upstream server answered {status}", field, named, reason="upstream_refused"
        )
    if status == 404 and line and code == "model_not_found":
        return Refusal(404, line, "model", "model_not_found")
    if status == 429:
        return Refusal(429, line or "the upstream server is busy", None, "upstream_busy", retry_after=1)
    return Refusal(502, f"the upstream server answered {status}{f': {line}' if line else ''}", code="upstream_error")
