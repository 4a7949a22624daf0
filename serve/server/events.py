"""Server-sent events of another server, as they come."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from serve.server.asked import body
from serve.server.foreign import broken, refusal
from serve.server.refusal import Refusal

DONE = "[DONE]"
LONGEST = 1 << 22  # bytes of one event


async def read(pieces: AsyncIterator[bytes]) -> AsyncIterator[list[dict[str, Any]]]:
    """Yield the events of each piece that arrives, as JSON, up to [DONE].

    Raises Refusal (502) for an event that is no JSON object of sound text and finite numbers, tells an error, or is too
    long, and for an end without [DONE]; what came before that was yielded.
    """
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST:
            raise broken("sends an event without end")
        found: list[dict[str, Any]] = []
        for line in lines:
            event = _event(line)
            if isinstance(event, dict) and "error" not in event:
                found.append(event)
            elif event is not None:
                if found:
                    yield found
                if event == DONE:
                    return
                raise _failed(event)
        if found:
            yield found
    raise broken("ended its stream in the midst")


def _event(line: bytes) -> Any:
    """Return the content of a line, DONE, or None for lines that hold none."""
    name, _, content = line.strip().partition(b":")
    if name != b"data":
        return None  # comments that keep a connection alive, event names, the lines between events
    if content.strip() == DONE.encode():
        return DONE
    try:
        return body.parse(content)
    except Refusal:
        return "no JSON"


def _failed(event: Any) -> Refusal:
    if not isinstance(event, dict):
        return broken("sends an event that is no JSON object")
    return Refusal(502, refusal(500, json.dumps(event).encode()).message, code="upstream_error")
