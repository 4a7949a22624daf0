"""The front before another server: vLLM, trtllm-serve, or another of its own kind.

What a client asks goes on, once it was let in and its cost is bounded: fields that only the other server knows too,
unless rails are on the input. The key that clients give is this server's; the other one's is sent in its place.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from align.rewards.chat import is_url
from serve.errors import ServeSettingsError
from serve.rails.rails import Rails
from serve.server import events, foreign, held
from serve.server.asked.body import PARSED_APART
from serve.server.asked.common import Limits, stream_options
from serve.server.asked.completion import prompts
from serve.server.asked.fields import flag, text
from serve.server.asked.forwarded import bounded, readable
from serve.server.checks import Checks, Messages
from serve.server.front import Front
from serve.server.refusal import Refusal
from serve.server.reply import Reply
from serve.server.ticket import Ticket

CHAT = "/v1/chat/completions"
GUESSED = 4  # characters a token, before the other server has counted
LONGEST = 1 << 26  # bytes of an answer that is not streamed


class Upstream:
    """Answers by asking another server."""

    def __init__(self, url: str, client: Any, limits: Limits, checks: Checks) -> None:
        self._url, self._client, self._limits, self._checks = url, client, limits, checks

    async def models(self) -> list[dict[str, Any]]:
        """Return the other server's models."""
        found = (await self._whole("GET", "/v1/models", None)).get("data")
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise foreign.broken("lists its models in another form than OpenAI's")
        return [one for one in found if isinstance(one.get("id"), str)]

    async def completion(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        """Pass on POST /v1/completions."""
        sent, drawn = bounded(body, self._limits, chat=False)
        if "prompt" not in sent:
            raise Refusal(400, "prompt is missing", "prompt", "missing_required_parameter")
        listed = prompts(sent["prompt"], "prompt")
        if self._checks.guards_input:
            readable(sent)
        n = sent.get("n", 1)
        async with self._let_in(sent, ticket, n * len(listed), drawn):
            said: list[Messages] = []
            if self._checks.guards_input or self._checks.holds:
                if not all(isinstance(one, str) for one in listed):
                    raise Refusal(400, "prompt holds token ids; the rails of this server read text only", "prompt")
                left = [await self._checks.text(str(one), ticket.record) for one in listed]
                sent["prompt"] = left if isinstance(sent["prompt"], list) else left[0]
                said = [[{"role": "user", "content": one}] for one in left for _ in range(n)]
            await self._pass_on("/v1/completions", sent, said, ticket, reply)

    async def chat(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        """Pass on POST /v1/chat/completions."""
        sent, drawn = bounded(body, self._limits, chat=True)
        messages = sent.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
            raise Refusal(400, "messages must be a list of at least one object", "messages")
        tools = sent.get("tools") or []
        if not isinstance(tools, list):
            raise Refusal(400, "tools must be a list", "tools")
        if self._checks.guards_input:
            readable(sent)
        n = sent.get("n", 1)
        async with self._let_in(sent, ticket, n, drawn):
            messages, tools = await self._checks.conversation(messages, tools, ticket.record)
            sent |= {"messages": list(messages)} | ({"tools": list(tools)} if tools else {})
            await self._pass_on(CHAT, sent, [messages] * n, ticket, reply)

    async def score(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        """Pass on POST /v1/score."""
        if self._checks.guards_input:
            raise Refusal(400, "rails are on the input; they do not read what is to be scored by another server")
        async with self._let_in(body, ticket, 1, 0):
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
    async def _let_in(self, body: Mapping[str, Any], ticket: Ticket, count: int, drawn: int) -> AsyncIterator[None]:
        """Hold places and tokens for `count` completions of at most `drawn` tokens. Raises Refusal."""
        ticket.record.stream = flag(body.get("stream") or False, "stream")
        ticket.record.model = text(body.get("model") or "", "model")[:80]
        ticket.record.counted_as = "upstream"
        if count > self._limits.max_completions:
            raise Refusal(
                400, f"{count} completions are asked for; one request may ask for {self._limits.max_completions}"
            )
        characters = sum(len(str(body.get(name, ""))) for name in ("prompt", "messages", "tools", "texts", "pairs"))
        with ticket.tokens(characters // GUESSED + count * drawn):
            async with ticket.places(count):
                yield

    async def _pass_on(
        self, path: str, body: dict[str, Any], said: Sequence[Messages], ticket: Ticket, reply: Reply
    ) -> None:
        options = body.get("stream_options")
        wants_usage = options is not None and stream_options(options, "stream_options")
        if body.get("stream") and not self._checks.holds:
            asked = {**body, "stream_options": {**(options or {}), "include_usage": True}}  # for the key's tokens
            await self._streamed(path, asked, wants_usage, ticket, reply)
            return
        plain = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
        answer = foreign.formed(await self._whole("POST", path, plain), path == CHAT, whole=True)
        foreign.count(answer, ticket.record)
        if self._checks.holds:
            answer = await held.check(answer, said, self._checks, ticket.record, path == CHAT)
        if not body.get("stream"):
            await reply.json(answer)
            return
        await reply.stream()
        await reply.events(held.as_chunks(answer, wants_usage))
        await reply.end()

    async def _streamed(self, path: str, body: Any, wants_usage: bool, ticket: Ticket, reply: Reply) -> None:
        async with self._asking("POST", path, body) as response:
            if response.status_code != 200:
                raise foreign.refusal(response.status_code, await _content(response))
            await reply.stream()
            async for batch in events.read(response.aiter_bytes()):
                for one in batch:
                    foreign.formed(one, path == CHAT, whole=False)
                    ticket.record.drew(len(one.get("choices") or ()))  # until it tells how many there were
                    foreign.count(one, ticket.record)
                await reply.events(one for one in batch if one.get("choices") or wants_usage)
            await reply.end()

    async def _whole(self, method: str, path: str, body: Any) -> dict[str, Any]:
        async with self._asking(method, path, body) as response:
            content = await _content(response)
            if response.status_code != 200:
                raise foreign.refusal(response.status_code, content)
        if len(content) > PARSED_APART:
            return await asyncio.to_thread(foreign.parsed, content)
        return foreign.parsed(content)

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


async def _content(response: Any) -> bytes:
    """Return the whole of an answer. Raises Refusal (502) for one that is too long."""
    size, parts = 0, []
    async for part in response.aiter_bytes():
        size += len(part)
        if size > LONGEST:
            raise foreign.broken("sends an answer that is too long")
        parts.append(part)
    return b"".join(parts)


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
