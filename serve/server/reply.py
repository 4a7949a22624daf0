"""The answer to one request, as it is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from serve.server.record import Record
from serve.server.refusal import ClientGone, Refusal

JSON = "application/json"
Send = Callable[[Any], Awaitable[None]]


def compact(value: Any) -> bytes:
    """Return a value as JSON in UTF-8, without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


class Reply:
    """Sends JSON at once, or server-sent events. A client that makes no room for `seconds` is gone."""

    def __init__(self, send: Send, seconds: float, record: Record) -> None:
        self._send_on, self._seconds, self._record = send, seconds, record
        self.started = self.ended = False

    async def content(self, content: bytes, kind: str = JSON, status: int = 200, more: Mapping[str, str] = {}) -> None:
        """Send a whole answer."""
        await self._head(status, kind, {"content-length": str(len(content)), **more})
        await self._body(content, last=True)

    async def json(self, value: Any, status: int = 200, more: Mapping[str, str] = {}) -> None:
        """Send a value as a whole answer."""
        await self.content(compact(value), status=status, more=more)

    async def stream(self) -> None:
        """Begin a stream of events."""
        whole = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # proxies shall hold nothing back
        await self._head(200, "text/event-stream; charset=utf-8", whole)

    async def events(self, values: Iterable[Any]) -> None:
        """Send events, several in one piece."""
        if content := b"".join(b"data: " + compact(one) + b"\n\n" for one in values):
            await self._body(content)

    async def end(self, last: bytes = b"data: [DONE]\n\n") -> None:
        """End a stream."""
        await self._body(last, last=True)

    async def refuse(self, refusal: Refusal) -> None:
        """Send a refusal as the answer, or as the last event of a stream that has begun."""
        if self.ended:
            return
        if self.started:
            await self.end(b"data: " + compact(refusal.content()) + b"\n\n")
        else:
            closing = {"Connection": "close"} if refusal.status in (408, 413, 503) else {}
            await self.json(refusal.content(), refusal.status, refusal.headers() | closing)

    async def _head(self, status: int, kind: str, more: Mapping[str, str]) -> None:
        self.started, self._record.status = True, status
        named = {"content-type": kind, "x-request-id": self._record.id, **more}
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in named.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, content: bytes, last: bool = False) -> None:
        self.ended = last
        await self._send({"type": "http.response.body", "body": content, "more_body": not last})

    async def _send(self, message: Any) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._send_on(message)
        except TimeoutError:
            raise ClientGone from None
