"""The routes of the server."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from millrace.config import did_you_mean
from serve.server.backend import Backend
from serve.server.endpoint import Answer, Endpoint
from serve.server.front import Front
from serve.server.record import Record
from serve.server.refusal import Refusal
from serve.server.reply import Reply
from serve.server.ticket import Ticket

MODEL = "/v1/models/{model}"
PATHS = ("/v1/completions", "/v1/chat/completions", "/v1/score", "/v1/models", MODEL, "/health", "/metrics")


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
            ("/v1/models", self._models, True),
            (MODEL, self._model, True),
            ("/health", self._health, False),
            ("/metrics", self._metrics, False),
        ):
            served = path.replace("{model}", "{model:path}")  # names may hold a slash
            routes.append(Route(served, Endpoint(self.front, path, answer, body=False, key=key), methods=["GET"]))
        app = Starlette(routes=routes, exception_handlers={HTTPException: self._no_route})
        app.router.redirect_slashes = False  # a redirect would go wherever the Host header says
        return app

    def _by(self, name: str) -> Answer:
        async def answer(body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
            await getattr(self._loaded(), name)(body, ticket, reply)

        return answer

    def _loaded(self) -> Backend:
        if self.backend is None:
            raise Refusal(503, "the model is still being loaded", code="starting", retry_after=5)
        return self.backend

    async def _models(self, given: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        await reply.json({"object": "list", "data": await self._loaded().models()})

    async def _model(self, given: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        there = {one["id"]: one for one in await self._loaded().models()}
        name = given["model"]
        if name not in there:
            raise Refusal(
                404, f"there is no model {name[:80]!r}.{did_you_mean(name, there)} Models: {', '.join(there)}", "model",
                "model_not_found",
            )  # fmt: skip
        await reply.json(there[name])

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
