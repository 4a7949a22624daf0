"""The bounded queue before the engine: first come, first served, and no more waiting than may wait."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from serve.server.refusal import Refusal

REMEMBERED = 64  # completions by which the rate is measured
LONGEST_WAIT = 60  # seconds that a client is told to wait, at most


class Admission:
    """Places for completions: `max_running` at once, `max_waiting` more in a queue. Used on one event loop."""

    def __init__(self, max_running: int, max_waiting: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_running, self.max_waiting = max_running, max_waiting
        self.running = self.waiting = 0
        self._clock, self._queue = clock, deque[tuple[int, asyncio.Future[None]]]()
        self._held = deque[float](maxlen=REMEMBERED)  # seconds that places were held

    @asynccontextmanager
    async def places(self, count: int) -> AsyncIterator[None]:
        """Wait for as many places and hold them. Raises Refusal (429) where the queue is full."""
        if self._queue or self.running + count > self.max_running:
            await self._wait(count)
        else:
            self.running += count
        begun = self._clock()
        try:
            yield
        finally:
            self.running -= count
            self._held.append(self._clock() - begun)
            self._next()

    def retry_after(self) -> int:
        """Return in how many seconds half of what waits will have begun, by how long places were held of late."""
        mean = sum(self._held) / max(len(self._held), 1)
        return min(LONGEST_WAIT, max(1, math.ceil(self.waiting / 2 * mean / self.max_running)))

    def _full(self) -> Refusal:
        """Return the refusal of a full queue, with the seconds after which a place is likely."""
        return Refusal(
            429, f"{self.waiting} completions wait already, as many as may; the same request may be taken later", None,
            "queue_full", retry_after=self.retry_after(), reason="queue_full",
        )  # fmt: skip

    async def _wait(self, count: int) -> None:
        if self.waiting + count > self.max_waiting:
            raise self._full()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (count, turn)
        self._queue.append(entry)
        self.waiting += count
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # its turn came as it gave up
                self.running -= count
            elif entry in self._queue:
                self._queue.remove(entry)
                self.waiting -= count
            self._next()
            raise

    def _next(self) -> None:
        while self._queue:
            count, turn = self._queue[0]
            if not turn.cancelled() and self.running + count > self.max_running:
                return
            self._queue.popleft()
            self.waiting -= count
            if not turn.cancelled():
                self.running += count
                turn.set_result(None)
