"""Where a server listens, and its limits."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from serve.errors import ServeSettingsError

MAY_BE_ZERO = {"port", "max_waiting", "max_prompt_tokens", "drain_seconds"} | {
    "requests_a_minute", "tokens_a_minute", "concurrent",
}  # fmt: skip


@dataclass(frozen=True)
class ServerSettings:
    """All settings of a server. A request past a limit is refused in one line, with 400, 408, 413, 429, 503 or 504."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: one that is free
    keys: str = ""  # file of API keys, see serve.server.limits.keys; "": whoever reaches the port may ask
    log: str = ""  # file of the access log, a JSON line a request; "": standard error
    name: str = ""  # of the model in answers; "": its folder's
    template: str = ""  # chat template, a built-in's name or a Jinja file; "": the tokenizer's own
    max_running: int = 64  # completions handed to the engine at once
    max_waiting: int = 256  # completions that wait for it; beyond: 429
    max_completions: int = 32  # of one request: its n times its prompts
    max_tokens: int = 4096  # of one completion
    max_prompt_tokens: int = 0  # 0: what the model takes
    max_body_mb: float = 4.0
    max_connections: int = 1024
    requests_a_minute: int = 0  # a key, where the file says nothing else; 0: no limit
    tokens_a_minute: int = 0  # a key's prompts and completions together
    concurrent: int = 0  # a key's requests at once
    seconds: float = 600.0  # for one request, its time in the queue too; beyond: 504
    header_seconds: float = 10.0  # for a request's line and headers; beyond: the connection is closed
    body_seconds: float = 30.0  # for a request's body; beyond: 408
    send_seconds: float = 30.0  # for a client to make room for more of a stream; beyond: the connection is closed
    connect_seconds: float = 10.0  # for the server at --upstream to take a connection
    upstream_key_variable: str = "MILLRACE_UPSTREAM_KEY"  # environment variable of the key that is sent to it
    keep_alive_seconds: float = 15.0  # for a connection's next request
    drain_seconds: float = 30.0  # for what runs to end, after SIGTERM

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int | float):
                continue
            if not math.isfinite(value):
                raise ServeSettingsError(f"ServerSettings.{field.name} is {value}; it must be a finite number")
            if not (value > 0 or (value == 0 and field.name in MAY_BE_ZERO)):
                least = "0 or more" if field.name in MAY_BE_ZERO else "more than 0"
                raise ServeSettingsError(f"ServerSettings.{field.name} is {value}; it must be {least}")
        if self.port > 65535:
            raise ServeSettingsError(f"ServerSettings.port is {self.port}; a port is at most 65535")
        if self.max_completions > self.max_running:
            raise ServeSettingsError(
                f"ServerSettings.max_completions is {self.max_completions}; at most max_running, {self.max_running}: "
                "the completions of a request run together"
            )
