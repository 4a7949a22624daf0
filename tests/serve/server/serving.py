"""Real servers for tests: uvicorn on a thread, a model of random weights behind it, sockets before it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from serve import model
from serve.engine.opening import open_engine
from serve.engine.settings import EngineSettings
from serve.rails.rails import Placed, Rails
from serve.server.front import Front
from serve.server.opening import local
from serve.server.run import serve
from serve.server.settings import ServerSettings
from serve.server.upstream import upstream


def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until something is true."""
    last = time.perf_counter() + seconds
    while not true():
        assert time.perf_counter() < last, "it did not come to be"
        time.sleep(0.005)


QUIET = {"port": 0, "drain_seconds": 5.0}


@dataclass
class Served:
    """A server that runs: its address, what it says, and the engine behind it."""

    url: str
    front: Front
    said: list[str]
    engine: Any
    log: str

    def client(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, **more)

    def post(self, path: str, body: Any, **more: Any) -> httpx.Response:
        with self.client() as client:
            return client.post(path, json=body, **more)

    def complete(self, prompt: Any, **more: Any) -> dict[str, Any]:
        response = self.post("/v1/completions", {"prompt": prompt, **more})
        assert response.status_code == 200, response.text
        return response.json()

    def refused(self, body: Any, status: int = 400, path: str = "/v1/completions", **more: Any) -> dict[str, Any]:
        """Send a body that is to be refused; return its error, whose form is checked."""
        response = self.post(path, body, **more)
        assert response.status_code == status, response.text
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert "\n" not in error["message"]
        return error

    def metric(self, name: str) -> float:
        with self.client() as client:
            page = client.get("/metrics").text
        found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def lines(self) -> list[dict[str, Any]]:
        with open(self.log) as stream:  # noqa: PTH123
            return [json.loads(line) for line in stream]

    def line(self, **fields: Any) -> dict[str, Any]:
        """Return the log's last line once it has these fields: it is written after the answer was sent."""
        until(lambda: (lines := self.lines()) and fields.items() <= lines[-1].items())
        return self.lines()[-1]

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Let the engine's steps wait while the block runs: what was asked stays under way."""
        go, step = threading.Event(), self.engine._step

        def waited(parts: Any) -> None:
            go.wait(60)
            step(parts)

        self.engine._step = waited
        try:
            yield
        finally:
            self.engine._step = step
            go.set()

    def socket(self) -> socket.socket:
        parts = httpx.URL(self.url)
        return socket.create_connection((parts.host, parts.port), timeout=20)


@contextmanager
def running(opening: Callable[[Front], Any], settings: ServerSettings) -> Iterator[Served]:
    """Run a server on a thread while the block runs; what it raises is raised here."""
    ready, said, loops, fronts, ended = threading.Event(), [], [], [], []

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("address"):
            ready.set()

    async def opened(front: Front) -> Any:
        fronts.append(front)
        return await opening(front)

    async def main() -> None:
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        await serve(settings, opened, say, stop)

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            ended.append(error)
        ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(60)
    try:
        if ended:
            yield None
        else:
            yield Served(said[-1].split()[-1].removesuffix("/v1"), fronts[0], said, None, settings.log)
    finally:
        loop, stop = loops[0]
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        assert not thread.is_alive()
        if ended:
            raise ended[0]


@contextmanager
def served(
    folder: str, log: Any, adapters: dict[str, str] | None = None, rails: Sequence[Placed] = (),
    engine: EngineSettings | None = None, **settings: Any,
) -> Iterator[Served]:  # fmt: skip
    """Serve a folder's model."""
    found, engines = model.find(folder), []

    def opened() -> Any:
        engines.append(open_engine(found, engine or EngineSettings(max_batch=16), adapters))
        return engines[0]

    made = ServerSettings(**{**QUIET, "log": str(log), **settings})
    with running(lambda front: local(front, found, opened, lambda observe: Rails(rails, observe)), made) as one:
        one.engine = engines[0]
        yield one


@contextmanager
def fronted(url: str, log: Any, rails: Sequence[Placed] = (), **settings: Any) -> Iterator[Served]:
    """Serve what another server answers."""
    made = ServerSettings(**{**QUIET, "log": str(log), **settings})
    with running(lambda front: upstream(front, url, lambda observe: Rails(rails, observe)), made) as one:
        yield one


def events(text: str) -> list[Any]:
    """Return the events of a stream; the last one is "[DONE]" or an error."""
    found = [line.removeprefix("data: ") for line in text.split("\n") if line]
    return [one if one == "[DONE]" else json.loads(one) for one in found]
