"""Rails in the path of a request: prompts before the model reads them, answers before they leave.

Where a rail is on the output an answer is held until it is whole and checked, and a stream begins after that.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from serve.errors import ServeError
from serve.rails.messages import texts
from serve.rails.rails import Rails
from serve.rails.rails import Refusal as Said
from serve.server.answer.choice import Piece
from serve.server.record import Record
from serve.server.refusal import Refusal

MOST_TEXTS = 4096  # of one request; ours: 16 seconds of the slowest rail that has no model
T = TypeVar("T")
Messages = Sequence[dict[str, Any]]


class Checks:
    """Rails, run off the event loop; with no rails everything passes as it is."""

    def __init__(self, rails: Rails, threads: int = 16) -> None:
        self._rails = rails
        self._pool = ThreadPoolExecutor(threads, "rails")
        self.guards_input, self.holds = rails.guards("input"), rails.guards("output")

    async def conversation(self, messages: Messages, tools: Messages, record: Record) -> tuple[Messages, Messages]:
        """Return a conversation and the tools it offers as the model shall read them. Raises Refusal."""
        if not self.guards_input:
            return messages, tools
        first = [{"role": "system", "tools": list(tools)}] if tools else []
        left = await self._input([*first, *messages], record)
        return (left[1:], left[0]["tools"]) if tools else (left, [])

    async def text(self, text: str, record: Record) -> str:
        """Return a prompt that is no conversation as the model shall read it. Raises Refusal."""
        if not self.guards_input:
            return text
        return str((await self._input([{"role": "user", "content": text}], record))[0]["content"])

    async def answer(self, piece: Piece, messages: Messages, record: Record) -> Piece:
        """Return a whole answer as it may leave; what was changed has no logprobs and ids, which would tell it."""
        if not self.holds:
            return piece
        left = await self._apart(lambda gone: self._rails.check_output(piece.text, messages, gone))
        if isinstance(left, Said):
            record.rails.append(left.rail)
            return Piece(left.text, None, finish="content_filter")
        return piece if left == piece.text else replace(piece, text=left, shown=None, ids=())

    def close(self) -> None:
        """End its threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _input(self, messages: Messages, record: Record) -> list[dict[str, Any]]:
        left = await self._apart(lambda gone: self._bounded(messages, gone))
        if isinstance(left, Said):
            record.rails.append(left.rail)
            raise Refusal(400, left.text, "prompt", "content_filter")
        return left

    def _bounded(self, messages: Messages, gone: Callable[[], bool]) -> list[dict[str, Any]] | Said:
        count = sum(len(texts(one)) for one in messages)
        if count > MOST_TEXTS:
            said = (
                f"the request has {count:,} texts, parts and tool definitions among them; the rails read {MOST_TEXTS:,}"
            )
            raise Refusal(400, said, "messages", "too_many_texts")
        return self._rails.check_input(messages, gone)

    async def _apart(self, check: Callable[[Callable[[], bool]], T]) -> T:
        """Check on a thread; where nobody waits for it any more it ends before the next text."""
        gone = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, check, gone.is_set)
        except asyncio.CancelledError:
            gone.set()
            raise
        except ServeError as error:
            print(f"millrace: {error}", file=sys.stderr, flush=True)
            raise Refusal(503, "a rail cannot decide, and nothing passes then", code="rail_failed") from None
