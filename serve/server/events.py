"""Server-sent events of another server, as they come."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from serve.server.refusal import Refusal

DONE = "[DONE]"
LONGEST = 1 << 22  # bytes of one event


async def read(pieces: AsyncIterator[bytes]) -> AsyncIterator[list[dict[str, Any]]]:
    """Yield the events of each piece that arrives, as JSON, up to [DONE].

    Raises Refusal (502) for what is no event, one that is too long, and an end without [DONE].
    """
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST:
            raise Refusal(502, "the upstream server sends an event without end", code="upstream_error")
        events, done = _events(lines)
        if events:
            yield events
        if done:
            return
    raise Refusal(502, "the upstream server ended its stream in the midst", code="upstream_error")


def _events(lines: list[bytes]) -> tuple[list[dict[str, Any]], bool]:
    found: list[dict[str, Any]] = []
    for line in lines:
        name, _, content = line.strip().partition(b":")
        if name != b"data":
            continue  # comments that keep a connection alive, event names, the lines between events
        if content.strip() == DONE.encode():
            return found, True
        try:
            value = json.loads(content)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Refusal(502, "the upstream server sends an event that is no JSON object", code="upstream_error")
        found.append(value)
    return found, False
