"""The body of a request: its bytes within size and time, and JSON that nothing later can stumble over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

from serve.server.refusal import ClientGone, Refusal

DEEPEST = 64  # lists and objects within each other; OpenAI's requests need about ten
READ_PAST = 32  # times the size allowed that is still read, and thrown away, so that a client hears why
PARSED_APART = 1 << 16  # bytes from which parsing leaves the event loop

Receive = Callable[[], Awaitable[Any]]


async def read(receive: Receive, headers: Mapping[str, str], max_bytes: int, seconds: float) -> dict[str, Any]:
    """Return the JSON object that a request carries.

    Raises Refusal: 413 past `max_bytes`, 408 past `seconds`, 400 for what is no JSON object of sound text and finite
    numbers; and ClientGone.
    """
    try:
        async with asyncio.timeout(seconds):
            content = await _bytes(receive, headers, max_bytes)
    except TimeoutError:
        raise Refusal(408, f"the body did not arrive within {seconds:g} seconds", code="body_timeout") from None
    return await asyncio.to_thread(parse, content) if len(content) > PARSED_APART else parse(content)


async def _bytes(receive: Receive, headers: Mapping[str, str], max_bytes: int) -> bytes:
    told = headers.get("content-length", "")
    size, parts, more = 0, [], True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
        if size <= max_bytes:
            parts.append(message.get("body", b""))
        elif size > READ_PAST * max_bytes:
            break
        else:
            parts.clear()
    if size > max_bytes:
        given = int(told) if told.isdecimal() and len(told) < 20 else size
        raise Refusal(413, f"the body has {given:,} bytes; at most {max_bytes:,} are read")
    return b"".join(parts)


def parse(content: bytes) -> dict[str, Any]:
    """Return the JSON object of a body. Raises Refusal (400)."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise Refusal(400, f"the body is no UTF-8: byte {error.start} is 0x{content[error.start]:02x}") from None
    if not text.strip():
        raise Refusal(400, "the body is empty; a JSON object was expected")
    try:
        value = json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise Refusal(400, f"the body is no JSON: {error}") from None
    except RecursionError:
        raise Refusal(400, f"the body is nested too deep; at most {DEEPEST} levels are read") from None
    except ValueError:  # an integer of thousands of digits
        raise Refusal(400, "the body holds a number that is too long") from None
    if not isinstance(value, dict):
        raise Refusal(400, f"the body is {_named(value)}; a JSON object was expected")
    _sound(value)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Refusal(400, f"the body holds {twice!r} twice in one object", param=twice[:64])
    return made


def _no_number(name: str) -> NoReturn:
    raise Refusal(400, f"the body holds {name}, which is no JSON number")


def _sound(value: Any) -> None:
    """Refuse nesting that a template would drown in, lone surrogates, and numbers that a float cannot hold."""
    level = [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner.extend(one)
                inner.extend(one.values())
            elif isinstance(one, list):
                inner.extend(one)
            elif isinstance(one, str):
                _encodable(one)
            elif isinstance(one, float) and one in (float("inf"), float("-inf")):
                raise Refusal(400, "the body holds a number that is too large")
        level = inner
        if not level:
            return
    raise Refusal(400, f"the body is nested too deep; at most {DEEPEST} levels are read")


def _encodable(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            code = ord(text[error.start])
            raise Refusal(400, f"the body holds half a character, \\u{code:04x}, which is no UTF-8") from None


def _named(value: Any) -> str:
    kinds = {list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")
