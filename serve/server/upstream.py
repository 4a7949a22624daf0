"""The front before another server: vLLM, trtllm-serve, or another of its own kind.

What a client asks goes on as it came, once it was let in: fields that only the other server knows too. The key that
clients give is this server's; the other one's is sent in its place.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from align.rewards.chat import is_url
from serve.errors import ServeSettingsError
from serve.rails.rails import Rails
from serve.server import events, foreign
from serve.server.asked.common import Limits, stream_options
from serve.server.asked.fields import flag, text, whole
from serve.server.checks import Checks
from serve.server.front import Front
from serve.server.refusal import Refusal
from serve.server.reply import Reply
from serve.server.ticket import Ticket

GUESSED = 4  # characters a token, before the other server has counted
LONGEST = 1 << 26  # bytes of an answer that is not streamed


class Upstream:
    """Answers by asking another server."""

    def __init__(self, url: str, client: Any, limits: Limits, checks: Checks) -> None:
        self._url, self._client, self._limits, self._checks = url, client, limits, checks

    async def models(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        """Pass on GET /v1/models."""
        await reply.json(await self._whole("GET", "/v1/models", None))

    async def completion(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        """Pass on POST /v1/completions."""
        prompts = body.get("prompt")
        listed = prompts if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int) else [prompts]
        async with self._let_in(body, ticket, len(listed)):
            if self._checks.guards_input or self._checks.holds:
                if not all(isinstance(one, str) for one in listed):
                    raise Refusal(400, "prompt holds token ids; the rails of this server read text only", "prompt")
                listed = [await self._checks.text(str(one), ticket.record) for one in listed]
                body = {**body, "prompt": listed if isinstance(prompts, list) else listed[0]}
            said = [[{"role": "user", "content": one}] for one in listed for _ in range(body.get("n") or 1)]
            await self._pass_on("/v1/completions", body, said, ticket, reply)

    async def chat(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        """Pass on POST /v1/chat/completions."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
            raise Refusal(400, "messages must be a list of at least one object", "messages")
        tools = body.get("tools") or []
        if not isinstance(tools, list):
            raise Refusal(400, "tools must be a list", "tools")
        async with self._let_in(body, ticket, 1):
            messages, tools = await self._checks.conversation(messages, tools, ticket.record)
            body = {**body, "messages": list(messages)} | ({"tools": list(tools)} if tools else {})
            said = [messages] * (body.get("n") or 1)
            await self._pass_on("/v1/chat/completions", body, said, ticket, reply)

    async def score(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        """Pass on POST /v1/score."""
        async with self._let_in(body, ticket, 1):
            if self._checks.guards_input:
                raise Refusal(400, "rails are on the input; they do not read what is to be scored by another server")
            answer = await self._whole("POST", "/v1/score", body)
            foreign.count(answer, ticket.record)
            await reply.json(answer)

    async def health(self) -> str:
        """Return "" where the other server says that it is well."""
        import httpx

        try:
            answer = await self._client.get("/health", timeout=5)
        except httpx.HTTPError as error:
            return f"{self._url} does not answer: {type(error).__name__}"
        return "" if answer.status_code == 200 else f"{self._url} answers /health with {answer.status_code}"

    def describe(self) -> list[tuple[str, str]]:
        """Say what is behind."""
        return [("upstream", self._url)]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        self._checks.close()

    @asynccontextmanager
    async def _let_in(self, body: Mapping[str, Any], ticket: Ticket, prompts: int) -> AsyncIterator[None]:
        """Check what limits need to know, and hold places and tokens."""
        if body.get("stream") is not None:
            ticket.record.stream = flag(body["stream"], "stream")
        ticket.record.model = text(body.get("model") or "", "model")[:80]
        n = whole(1, self._limits.max_completions)(body.get("n") or 1, "n")
        for name in ("max_tokens", "max_completion_tokens"):
            if body.get(name) is not None:
                whole(0, self._limits.max_tokens)(body[name], name)
        if n * prompts > self._limits.max_completions:
            raise Refusal(
                400, f"{n * prompts} completions are asked for; one request may ask for {self._limits.max_completions}"
            )
        drawn = body.get("max_completion_tokens") or body.get("max_tokens") or self._limits.max_tokens
        characters = sum(len(str(body.get(name, ""))) for name in ("prompt", "messages", "texts", "pairs"))
        with ticket.tokens(characters // GUESSED + n * prompts * drawn):
            async with ticket.places(n * prompts):
                yield

    async def _pass_on(self, path: str, body: dict[str, Any], said: Any, ticket: Ticket, reply: Reply) -> None:
        options = body.get("stream_options")
        wants_usage = options is not None and stream_options(options, "stream_options")
        if body.get("stream") and not self._checks.holds:
            asked = {**body, "stream_options": {**(options or {}), "include_usage": True}}  # for the key's tokens
            await self._streamed(path, asked, wants_usage, ticket, reply)
            return
        plain = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
        answer = await self._whole("POST", path, plain)
        foreign.count(answer, ticket.record)
        if self._checks.holds:
            await foreign.check(answer, said, self._checks, ticket.record)
        if not body.get("stream"):
            await reply.json(answer)
            return
        await reply.stream()
        await reply.events(foreign.as_chunks(answer, wants_usage))
        await reply.end()

    async def _streamed(self, path: str, body: Any, wants_usage: bool, ticket: Ticket, reply: Reply) -> None:
        async with self._asking("POST", path, body) as response:
            if response.status_code != 200:
                raise foreign.refusal(response.status_code, await response.aread())
            await reply.stream()
            async for batch in events.read(response.aiter_bytes()):
                for one in batch:
                    ticket.record.drew(len(one.get("choices") or ()))  # until it tells how many there were
                    foreign.count(one, ticket.record)
                await reply.events(one for one in batch if one.get("choices") or wants_usage)
            await reply.end()

    async def _whole(self, method: str, path: str, body: Any) -> dict[str, Any]:
        async with self._asking(method, path, body) as response:
            size, parts = 0, []
            async for part in response.aiter_bytes():
                size += len(part)
                if size > LONGEST:
                    raise foreign.broken("sends an answer that is too long")
                parts.append(part)
            if response.status_code != 200:
                raise foreign.refusal(response.status_code, b"".join(parts))
        try:
            answer = json.loads(b"".join(parts))
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise foreign.broken("sends an answer that is no JSON object")
        return answer

    @asynccontextmanager
    async def _asking(self, method: str, path: str, body: Any) -> AsyncIterator[Any]:
        """Give the other server's response; leaving early closes its connection. Raises Refusal: 502, 504."""
        import httpx

        try:
            async with self._client.stream(method, path, json=body) as response:
                yield response
        except httpx.TimeoutException:
            raise Refusal(504, "the upstream server does not answer in time", code="upstream_timeout") from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise foreign.broken(f"cannot be reached: {type(error).__name__}") from None


async def upstream(front: Front, url: str, rails: Callable[[Any], Rails]) -> Upstream:
    """Return the front before another server. Raises ServeSettingsError for what is no URL, and as `rails` does.

    The other server may start later than this one: /health says failing until it answers.
    """
    import httpx

    if not is_url(url):
        raise ServeSettingsError(f"--upstream {url}: an address such as http://localhost:8000 was expected")
    settings = front.settings
    checked = await asyncio.to_thread(rails, front.metrics.rail)
    base = url.rstrip("/").removesuffix("/v1")
    key = os.environ.get(settings.upstream_key_variable, "")
    client = httpx.AsyncClient(
        base_url=base, headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(settings.seconds, connect=settings.connect_seconds, pool=None),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=settings.max_running),
    )  # fmt: skip
    return Upstream(base, client, Limits(settings.max_tokens, settings.max_completions), Checks(checked))
