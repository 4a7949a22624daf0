"""What every request passes: its key, its body, its time, its client's going away; then its answer and its line."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from serve.server.asked.body import Receive, read
from serve.server.front import Front
from serve.server.limits.keys import Key, KeyLimits
from serve.server.record import Record
from serve.server.refusal import ClientGone, Refusal
from serve.server.reply import Reply, Send
from serve.server.ticket import Ticket

# Answers a body; where a route has none, what its path names.
Answer = Callable[[dict[str, Any], Ticket, Reply], Coroutine[Any, Any, None]]


class Endpoint:
    """An ASGI application for one route. Whatever happens the client gets an answer in OpenAI's form."""

    def __init__(self, front: Front, route: str, answer: Answer, body: bool = True, key: bool = True) -> None:
        """`body`: it takes a JSON object; `key`: it asks for an API key."""
        self._front, self._route, self._answer, self._body, self._key = front, route, answer, body, key

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request."""
        front = self._front
        client = scope["client"] or ("",)
        record = Record(self._route, scope["method"], str(client[0]))
        reply = Reply(send, front.settings.send_seconds, record)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            try:
                await self._answered(scope["path_params"], headers, receive, reply, record)
            except Refusal as refusal:
                record.reason = refusal.reason
                await reply.refuse(refusal)
                record.status = refusal.status
            except (ClientGone, asyncio.CancelledError):
                raise
            except Exception:
                print(f"millrace: request {record.id} failed", file=sys.stderr)
                traceback.print_exc()
                record.reason = "internal_error"
                await reply.refuse(Refusal(500, f"an error of the server; its log has it as {record.id}"))
                record.status = 500
        except ClientGone:
            record.status, record.reason = 499, "client_gone"
            front.abort(scope["client"])
        finally:
            if self._key or record.status != 200:  # whoever watches asks all the time
                front.log.write(record)
            record.count(front.metrics)

    async def _answered(
        self, place: dict[str, Any], headers: Mapping[str, str], receive: Receive, reply: Reply, record: Record
    ) -> None:
        front, settings = self._front, self._front.settings
        key = front.keys.of(headers.get("authorization", "")) if self._key else Key("", KeyLimits())
        record.key = key.name
        if not self._body:
            await self._answer(place, Ticket(key, front.admission, record, front.metrics), reply)
            return
        if front.state == "draining":
            raise Refusal(503, "the server is shutting down", code="shutting_down", retry_after=5)
        with key.asking(), self._under_way():
            body = await read(receive, headers, int(settings.max_body_mb * 1e6), settings.body_seconds)
            ticket = Ticket(key, front.admission, record, front.metrics)
            await self._raced(self._answer(body, ticket, reply), receive, record)

    @contextlib.contextmanager
    def _under_way(self) -> Any:
        self._front.under_way += 1
        try:
            yield
        finally:
            self._front.under_way -= 1

    async def _raced(self, answering: Coroutine[Any, Any, None], receive: Receive, record: Record) -> None:
        """Answer, unless the client goes away, the time is over, or the server stops before that."""
        seconds = self._front.settings.seconds
        work, gone = asyncio.ensure_future(answering), asyncio.ensure_future(_gone(receive))
        try:
            left = max(0.0, seconds - (time.perf_counter() - record.begun))
            done, _ = await asyncio.wait(
                {work, gone, self._front.stopping}, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            gone.cancel()
            finished = work.done()
            if not finished:
                work.cancel()
            with contextlib.suppress(BaseException):  # raised anew below, where it is the work's own
                await work
        if finished:
            return work.result()
        if gone in done:
            raise ClientGone
        if self._front.stopping in done:
            raise Refusal(503, "the server was stopped", code="shutting_down")
        raise Refusal(504, f"the request took more than {seconds:g} seconds")


async def _gone(receive: Receive) -> None:
    """Wait until the client closes its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
