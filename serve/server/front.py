"""What all requests of a server share, and how it ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

from serve.server.limits.admission import Admission
from serve.server.limits.keys import Keys
from serve.server.metrics import Metrics
from serve.server.record import Log
from serve.server.settings import ServerSettings

State = Literal["starting", "ok", "draining"]
TICK = 0.02  # seconds between looks at whether what runs has ended


@dataclass
class Front:
    """One server's state, on one event loop."""

    settings: ServerSettings
    keys: Keys
    admission: Admission
    metrics: Metrics
    log: Log
    state: State = "starting"
    ending: asyncio.Event = field(default_factory=asyncio.Event)  # set where the server is to drain and end
    broken: str = ""  # why the model can answer no more
    under_way: int = 0  # requests that hold something of the model
    # By the identity of the client's address: its port may be another connection's before the server hears of the end.
    connections: dict[int, tuple[Any, asyncio.Transport]] = field(default_factory=dict)
    stopping: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def abort(self, client: Any) -> None:
        """Close the connection of a request, whose scope has `client`, whatever is still to be sent."""
        if id(client) in self.connections:
            self.connections[id(client)][1].abort()

    def fail(self, why: str) -> None:
        """End the server: the model can answer no more."""
        self.broken = why
        self.ending.set()

    async def drain(self) -> None:
        """Take no more requests, wait `drain_seconds` for those under way, and end those that remain."""
        self.state = "draining"
        loop = asyncio.get_running_loop()
        last = loop.time() + self.settings.drain_seconds
        while self.under_way and loop.time() < last:
            await asyncio.sleep(TICK)
        if not self.stopping.done():
            self.stopping.set_result(None)
        while self.under_way:
            await asyncio.sleep(TICK)
