"""What stands behind the front."""

from __future__ import annotations

from typing import Any, Protocol

from serve.server.reply import Reply
from serve.server.ticket import Ticket


class Backend(Protocol):
    """Answers what was let in. Each method sends its answer, or raises Refusal; cancelling one ends its work."""

    async def models(self) -> list[dict[str, Any]]:
        """Return the models as OpenAI's API lists them: each has an id, a string."""
        ...

    async def completion(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        """Answer POST /v1/completions."""
        ...

    async def chat(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        """Answer POST /v1/chat/completions."""
        ...

    async def score(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        """Answer POST /v1/score."""
        ...

    async def health(self) -> str:
        """Return "" where it can answer, else why it cannot, in one line."""
        ...

    def describe(self) -> list[tuple[str, str]]:
        """Return what is said of it on start: names and values."""
        ...

    async def close(self) -> None:
        """End it."""
        ...
