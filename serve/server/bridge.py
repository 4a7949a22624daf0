"""From the engine's thread to the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from serve.engine.request import Engine, Told, Wanted
from serve.errors import EngineError, EngineStopped, QueueFull
from serve.server.refusal import Refusal


class Bridge:
    """Carries what an engine tells to the event loop, which is woken once for all that waits.

    `failed` is called there with one line where the engine ends by an error of its own, which is then `failure`.
    """

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop, failed: Callable[[str], None]) -> None:
        self.engine, self._loop, self._failed, self.failure = engine, loop, failed, ""
        self._told = deque[tuple[Generation, int, Told]]()
        self._waking = False
        engine.watch(self._fail)

    def tell(self, generation: Generation, number: int) -> Callable[[Told], None]:
        """Return what the engine calls, on its thread, for completion `number` of a request."""

        def tell(told: Told) -> None:
            self._told.append((generation, number, told))
            if not self._waking:
                self._waking = True
                self._loop.call_soon_threadsafe(self._deliver)

        return tell

    def _fail(self, why: str) -> None:
        self.failure = why
        self._loop.call_soon_threadsafe(self._failed, why)

    def _deliver(self) -> None:
        self._waking = False  # before the queue is read: what comes meanwhile wakes again
        while self._told:
            generation, number, told = self._told.popleft()
            generation.put(number, told)


class Generation:
    """The completions of one request, under way. Leaving the block ends those that still run."""

    def __init__(self, bridge: Bridge, wanted: Sequence[Wanted]) -> None:
        self._bridge, self._wanted = bridge, wanted
        self._numbers: dict[int, int] = {}  # completion -> the engine's number, while it runs
        self._told: list[tuple[int, Told]] = []
        self._news = asyncio.Event()

    async def __aenter__(self) -> Generation:
        """Hand the completions to the engine.

        Raises Refusal: 429 where its queue is full, 503 where it was stopped, 400 for what it refuses.
        """
        try:
            for number, one in enumerate(self._wanted):
                self._numbers[number] = self._bridge.engine.submit(one, self._bridge.tell(self, number))
        except QueueFull as error:
            self.close()
            raise Refusal(429, str(error), None, "queue_full", retry_after=1, reason="queue_full") from None
        except EngineStopped:
            self.close()
            raise Refusal(503, "the engine was stopped", code="engine_stopped") from None
        except EngineError as error:
            self.close()
            raise Refusal(400, str(error), None, "engine") from None
        return self

    async def __aexit__(self, *raised: object) -> None:
        self.close()

    def put(self, number: int, told: Told) -> None:
        """Take what the engine told."""
        if told.finish:
            self._numbers.pop(number, None)
        self._told.append((number, told))
        self._news.set()

    async def news(self) -> list[tuple[int, Told]]:
        """Wait for something to be told, and return all that was, in order."""
        await self._news.wait()
        self._news.clear()
        told, self._told = self._told, []
        return told

    def end(self, number: int) -> None:
        """End one completion."""
        running = self._numbers.pop(number, None)
        if running is not None:
            self._bridge.engine.cancel(running)

    def close(self) -> None:
        """End all that still run."""
        for number in list(self._numbers):
            self.end(number)
