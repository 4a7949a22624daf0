"""API keys: a file of them, and the limits of each.

A line of the file is a name and a key, then limits that differ from the server's:

    # who    key                                                       limits
    alice    mr-3f9c0d41e2b7a6                                         requests_a_minute=60 tokens_a_minute=100000
    batch    sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd  concurrent=4

A key may stand there as the SHA-256 of itself, in hexadecimal. Names are what logs show; keys are in no log.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from millrace import storage
from millrace.config import did_you_mean
from serve.errors import ServeSettingsError
from serve.server.limits.buckets import Bucket
from serve.server.refusal import Refusal

HASHED = re.compile(r"sha256:[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")


@dataclass(frozen=True)
class KeyLimits:
    """What one key may do; 0: no limit."""

    requests_a_minute: int = 0
    tokens_a_minute: int = 0  # of prompts and completions
    concurrent: int = 0  # requests at once


class Key:
    """Somebody who asks: a name for the logs, and what is left of the limits."""

    def __init__(self, name: str, limits: KeyLimits) -> None:
        self.name, self.limits, self.running = name, limits, 0
        self._requests, self._tokens = Bucket(limits.requests_a_minute), Bucket(limits.tokens_a_minute)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Count a request while it runs. Raises Refusal (429)."""
        if self.limits.concurrent and self.running >= self.limits.concurrent:
            raise Refusal(
                429, f"key {self.name} has {self.running} requests under way, as many as it may", None,
                "rate_limit_exceeded", retry_after=1, reason="concurrent",
            )  # fmt: skip
        self._within(self._requests, 1, "requests")
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    def reserve(self, tokens: int) -> None:
        """Take the most tokens that a request may need. Raises Refusal (429; 400 where no waiting helps)."""
        if self.limits.tokens_a_minute and tokens > self.limits.tokens_a_minute:
            raise Refusal(
                400, f"the request may need {tokens} tokens; key {self.name} may use {self.limits.tokens_a_minute} a "
                "minute", None, "rate_limit_exceeded", reason="tokens_a_minute",
            )  # fmt: skip
        self._within(self._tokens, tokens, "tokens")

    def settle(self, reserved: int, used: int) -> None:
        """Return what a request did not use."""
        self._tokens.give_back(reserved - used)

    def _within(self, bucket: Bucket, amount: int, what: str) -> None:
        if seconds := bucket.take(amount):
            raise Refusal(
                429, f"key {self.name} may ask for {bucket.a_minute} {what} a minute", None, "rate_limit_exceeded",
                retry_after=math.ceil(seconds), reason=f"{what}_a_minute",
            )  # fmt: skip


class Keys:
    """Who may ask: the keys of a file, or anyone."""

    def __init__(self, keys: dict[bytes, Key], default: KeyLimits) -> None:
        self._keys, self._anyone = keys, None if keys else Key("anyone", default)

    def of(self, authorization: str) -> Key:
        """Return whose an Authorization header is. Raises Refusal (401). Its time tells nothing of the keys."""
        if self._anyone is not None:
            return self._anyone
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise Refusal(401, "no API key was given; send it as Authorization: Bearer KEY", reason="invalid_api_key")
        digest, found = _digest(given.strip()), None
        for known, key in self._keys.items():  # all of them, whichever it is
            if hmac.compare_digest(known, digest):
                found = key
        if found is None:
            raise Refusal(401, "the API key is not one of this server's", reason="invalid_api_key")
        return found


def load(url: str, default: KeyLimits) -> Keys:
    """Return the keys of a file; of "" anyone, under the limits that are default. Raises ServeSettingsError."""
    if not url:
        return Keys({}, default)
    keys: dict[bytes, Key] = {}
    try:
        lines = storage.read_bytes(url).decode().splitlines()
    except UnicodeDecodeError:
        raise ServeSettingsError(f"{url} is no text; a file of API keys was expected") from None
    for number, line in enumerate(lines, 1):
        if words := line.split("#")[0].split():
            digest, key = _read(words, default, f"{url}, line {number}")
            if digest in keys or key.name in {one.name for one in keys.values()}:
                raise ServeSettingsError(f"{url}, line {number}: the name or key of {key.name} stands there twice")
            keys[digest] = key
    if not keys:
        raise ServeSettingsError(f"{url} holds no API key; a line is a name and a key")
    return Keys(keys, default)


def _read(words: list[str], default: KeyLimits, place: str) -> tuple[bytes, Key]:
    if len(words) < 2 or not NAME.fullmatch(words[0]):
        raise ServeSettingsError(f"{place}: a name (letters, digits, . _ @ -) and a key were expected")
    hashed = words[1].startswith("sha256:")
    if hashed and not HASHED.fullmatch(words[1]):
        raise ServeSettingsError(f"{place}: sha256: and 64 hexadecimal digits were expected")
    if not hashed and len(words[1]) < 8:
        raise ServeSettingsError(f"{place}: the key of {words[0]} has {len(words[1])} characters; at least 8")
    given = {}
    for word in words[2:]:
        name, _, value = word.partition("=")
        known = KeyLimits.__dataclass_fields__
        if name not in known or not value.isdecimal() or len(value) > 12:
            raise ServeSettingsError(
                f"{place}: {word} is no limit.{did_you_mean(name, known)} Limits: {', '.join(f'{n}=N' for n in known)}"
            )
        given[name] = int(value)
    digest = bytes.fromhex(words[1].removeprefix("sha256:")) if hashed else _digest(words[1])
    return digest, Key(words[0], replace(default, **given))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
