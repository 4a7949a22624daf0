"""One connection: uvicorn's protocol, with a time limit for headers, a limit on their number, and an end by force."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from serve.server.front import Front
from serve.server.record import Record
from serve.server.refusal import Refusal
from serve.server.reply import compact

LENGTHS = {b"content-length", b"transfer-encoding"}
LONGEST_HEAD = 1 << 16  # bytes of a request's line and headers
NO_HTTP = Refusal(400, "the request is no HTTP", reason="no_http")
TOO_LONG = Refusal(431, f"the request's line and headers have more than {LONGEST_HEAD:,} bytes")
TWO_LENGTHS = Refusal(
    400, "the request has Content-Length and Transfer-Encoding; one of them may say where it ends", reason="two_lengths"
)


class Http(h11.Connection):
    """HTTP as a server hears it; refuses what servers before this one may have read in another way.

    A request with a length and a transfer coding is one (RFC 9112, 6.1): what one server takes for its body the next
    takes for a request.
    """

    wrong: Refusal  # of what was refused last

    def next_event(self) -> Any:
        """Return the next event. Raises RemoteProtocolError, and `wrong` says what is told of it."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self.wrong = TOO_LONG if error.error_status_hint == 431 else NO_HTTP
            raise
        if isinstance(event, h11.Request) and {name for name, _ in event.headers} >= LENGTHS:
            self.wrong = TWO_LENGTHS
            raise h11.RemoteProtocolError(str(TWO_LENGTHS))
        return event


def connection(front: Front) -> type[H11Protocol]:
    """Return the class of a server's connections."""

    class Connection(H11Protocol):  # type: ignore[misc]
        """Closes when a request's line and headers do not come in time; uvicorn itself waits for ever."""

        _timer: asyncio.TimerHandle | None = None

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.conn = Http(h11.SERVER, LONGEST_HEAD)

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            front.connections[id(self.client)] = (self.client, transport)
            if len(self.connections) > front.settings.max_connections:
                self._close(Refusal(503, "too many connections are open", code="too_many_connections", retry_after=1))
            else:
                self._arm()

        def connection_lost(self, error: Exception | None) -> None:
            self._disarm()
            front.connections.pop(id(self.client), None)
            super().connection_lost(error)

        def data_received(self, data: bytes) -> None:
            if self._timer is None and self.conn.their_state is h11.IDLE:
                self._arm()
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self._disarm()

        def send_400_response(self, message: str) -> None:
            self._close(self.conn.wrong)

        def timeout_keep_alive_handler(self) -> None:
            if self.transport.get_write_buffer_size():
                self.transport.abort()  # it was answered long ago and does not read
            else:
                super().timeout_keep_alive_handler()

        def _arm(self) -> None:
            self._timer = self.loop.call_later(front.settings.header_seconds, self._late)

        def _disarm(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _late(self) -> None:
            seconds = front.settings.header_seconds
            if self.conn.trailing_data[0]:
                self._close(Refusal(408, f"the headers did not arrive within {seconds:g} seconds"))
            else:
                self.transport.close()

        def _close(self, refusal: Refusal) -> None:
            """Answer without an application, close, and note it."""
            if self.transport.is_closing():
                return
            content = compact(refusal.content())
            headers = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close"}
            head = "".join(f"{name}: {value}\r\n" for name, value in (headers | refusal.headers()).items())
            self.transport.write(f"HTTP/1.1 {refusal.status} \r\n{head}\r\n".encode() + content)
            self.transport.close()
            record = Record("none", "", str((self.client or ("",))[0]), status=refusal.status, reason=refusal.reason)
            front.log.write(record)
            record.count(front.metrics)

    return Connection
