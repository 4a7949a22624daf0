"""The routes of the server."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serve.server.backend import Backend
from serve.server.endpoint import Answer, Endpoint
from serve.server.front import Front
from serve.server.record import Record
from serve.server.refusal import Refusal
from serve.server.reply import Reply
from serve.server.ticket import Ticket

PATHS = ("/v1/completions", "/v1/chat/completions", "/v1/score", "/v1/models", "/health", "/metrics")


class Server:
    """The application, and what stands behind it once that is loaded."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self.backend: Backend | None = None

    def app(self) -> Starlette:
        """Return the ASGI application."""
        asked = {"/v1/completions": "completion", "/v1/chat/completions": "chat", "/v1/score": "score"}
        routes = [
            Route(path, Endpoint(self.front, path, self._by(name)), methods=["POST"]) for path, name in asked.items()
        ]
        for path, answer, key in (
            ("/v1/models", self._by("models"), True),
            ("/health", self._health, False),
            ("/metrics", self._metrics, False),
        ):
            routes.append(Route(path, Endpoint(self.front, path, answer, body=False, key=key), methods=["GET"]))
        return Starlette(routes=routes, exception_handlers={HTTPException: self._no_route})

    def _by(self, name: str) -> Answer:
        async def answer(body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
            if self.backend is None:
                raise Refusal(503, "the model is still being loaded", code="starting", retry_after=5)
            await getattr(self.backend, name)(body, ticket, reply)

        return answer

    async def _health(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        status, wrong = self.front.state, ""
        if status == "ok" and self.backend is not None:
            wrong = await self.backend.health()
        told = {"status": "failing" if wrong else status} | ({"reason": wrong} if wrong else {})
        await reply.json(told, 200 if told["status"] == "ok" else 503)

    async def _metrics(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        content, kind = self.front.metrics.page()
        await reply.content(content, kind)

    async def _no_route(self, request: Request, error: Exception) -> Response:
        """Say that a path or a method is none."""
        assert isinstance(error, HTTPException)
        path, method = request.url.path[:80], request.method
        if error.status_code == 405:
            text = f"{path} is not for {method}; it is for {(error.headers or {}).get('Allow', '')}"
        else:
            text = f"there is nothing at {path}; there are {', '.join(PATHS)}"
        refusal = Refusal(error.status_code, text)
        record = Record("other", method, request.client.host if request.client else "", status=error.status_code)
        record.reason = refusal.reason
        record.count(self.front.metrics)
        self.front.log.write(record)
        headers = {**(error.headers or {}), "x-request-id": record.id}
        return JSONResponse(refusal.content(), error.status_code, headers)
