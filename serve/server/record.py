"""What is noted of a request: a line of the access log, and the metrics. No text of prompts or answers."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any

from millrace import storage
from serve.server.metrics import Metrics


@dataclass
class Record:
    """One request, as it goes."""

    route: str  # the path that is served; "other": one that is none; "none": what was refused before it had one
    method: str = "POST"
    client: str = ""
    id: str = field(default_factory=lambda: f"req-{secrets.token_hex(12)}")
    begun: float = field(default_factory=time.perf_counter)
    key: str = ""  # name of the API key
    model: str = ""
    counted_as: str = ""  # the model in the metrics, where `model` is any word of a client's
    stream: bool = False
    prompt_tokens: int = 0
    tokens: int = 0
    first: float | None = None  # seconds to the first token
    finish: list[str] = field(default_factory=list)  # of each completion
    status: int = 0
    reason: str = ""  # of a refusal or failure
    rails: list[str] = field(default_factory=list)  # that found something

    def drew(self, tokens: int) -> None:
        """Note tokens that were drawn."""
        if tokens and self.first is None:
            self.first = time.perf_counter() - self.begun
        self.tokens += tokens

    def line(self) -> str:
        """Return it as a line of JSON, without what is empty."""
        told: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "id": self.id, "client": self.client,
            "key": self.key, "method": self.method, "route": self.route, "status": self.status, "reason": self.reason,
            "model": self.model, "stream": self.stream, "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens, "finish": self.finish, "rails": self.rails,
            "first_token_seconds": None if self.first is None else round(self.first, 4),
            "seconds": round(time.perf_counter() - self.begun, 4),
        }  # fmt: skip
        return json.dumps({name: value for name, value in told.items() if value not in ("", None, [], False)})

    def count(self, metrics: Metrics) -> None:
        """Add it to the metrics."""
        seconds = time.perf_counter() - self.begun
        metrics.requests.labels(self.route, str(self.status)).inc()
        metrics.seconds.labels(self.route).observe(seconds)
        if self.reason:
            metrics.rejected.labels(self.reason).inc()
        model = self.counted_as or self.model
        if self.prompt_tokens:
            metrics.prompt_tokens.labels(model).inc(self.prompt_tokens)
        if self.tokens:
            metrics.tokens.labels(model).inc(self.tokens)
        if self.first is not None:
            metrics.first.observe(self.first)


class Log:
    """Writes a line a request."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, record: Record) -> None:
        """Write a request's line."""
        self._stream.write(record.line().encode() + b"\n")
        self._stream.flush()


@contextmanager
def log(url: str) -> Iterator[Log]:
    """Give the log of a file, to which it adds, or ("") of standard error. Raises StorageError."""
    if not url:
        yield Log(sys.stderr.buffer)
    else:
        with storage.appending(url) as stream:
            yield Log(stream)
