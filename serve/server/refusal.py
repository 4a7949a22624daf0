"""What a client is told when it does not get an answer: a status, and OpenAI's form of an error."""

from __future__ import annotations

from typing import Any

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    499: "client_disconnected",
    503: "overloaded_error",
    504: "timeout_error",
}
CODES = {
    401: "invalid_api_key", 404: "not_found", 408: "timeout", 413: "request_too_large", 431: "headers_too_large",
    500: "internal_error", 504: "timeout",
}  # fmt: skip


class Refusal(Exception):
    """The answer to a request that is refused or fails: `status` and one line.

    param: the field that is wrong; code: a word for programs, else one for the status; retry_after: whole seconds,
    sent as a header; reason: a word for the metrics, else the code.
    """

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str = "", *, retry_after: int = 0,
        reason: str = "",
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.param, self.retry_after = status, param, retry_after
        self.message = " ".join(message.split())
        self.code = code or CODES.get(status)
        self.reason = reason or self.code or "invalid"

    def content(self) -> dict[str, Any]:
        """Return it in OpenAI's form."""
        kind = TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """Return the headers that go with it."""
        made = {"Retry-After": str(self.retry_after)} if self.retry_after else {}
        return made | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


class ClientGone(Exception):
    """The client closed its connection, or does not read what it asked for."""
