"""A server from its socket to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from serve.errors import EngineStopped, ServeSettingsError
from serve.server.backend import Backend
from serve.server.front import Front
from serve.server.limits import keys
from serve.server.limits.admission import Admission
from serve.server.record import log
from serve.server.settings import ServerSettings

Opening = Callable[[Front], Awaitable[Backend]]


async def serve(
    settings: ServerSettings, opening: Opening, say: Callable[[str], None], stop: asyncio.Event | None = None
) -> None:
    """Listen, load what stands behind, and serve until SIGTERM, SIGINT, or `stop` is set; then drain.

    While `opening` loads, /health says starting. Raises ServeSettingsError where the address cannot be had, whatever
    `opening` raises, and EngineStopped where the engine ended by an error of its own. A signal while it loads ends the
    process at once, as a second one does later: nobody waits for an answer yet, and loading heeds no signal.
    """
    import uvicorn

    from serve.server.app import Server
    from serve.server.connection import connection
    from serve.server.metrics import Metrics

    stop = stop or asyncio.Event()
    known = keys.load(
        settings.keys, keys.KeyLimits(settings.requests_a_minute, settings.tokens_a_minute, settings.concurrent)
    )
    with log(settings.log) as lines, contextlib.closing(_bound(settings)) as listening:
        front = Front(settings, known, Admission(settings.max_running, settings.max_waiting), Metrics(), lines,
                      ending=stop)  # fmt: skip
        front.metrics.watch("requests_running", "Requests under way.", lambda: front.under_way)
        front.metrics.watch("queue_running", "Completions that hold a place.", lambda: front.admission.running)
        front.metrics.watch("queue_waiting", "Completions that wait for a place.", lambda: front.admission.waiting)
        front.metrics.watch("tasks", "Tasks of the event loop.", lambda: len(asyncio.all_tasks()))
        server = Server(front)
        http = uvicorn.Server(
            uvicorn.Config(
                server.app(), log_config=None, log_level="critical", access_log=False, lifespan="off", ws="none",
                server_header=False,
                http=connection(front), timeout_keep_alive=int(max(1, settings.keep_alive_seconds)),
                timeout_graceful_shutdown=2,
            )
        )  # fmt: skip
        http.capture_signals = contextlib.nullcontext
        serving = asyncio.ensure_future(http.serve([listening]))
        try:
            with _signals(front, say):
                server.backend = await _unless(stop, opening(front))
                if server.backend is not None:
                    front.state = "ok"
                    for name, value in [*server.backend.describe(), *_described(settings, listening)]:
                        say(f"{name:<9} {value}")
                    await stop.wait()
                    say(f"draining  {front.under_way} requests under way, {settings.drain_seconds:g} seconds at most")
                    await front.drain()
        finally:
            front.state = "draining"
            http.should_exit = True
            if server.backend is not None:
                await server.backend.close()
            await serving
    if front.broken:
        raise EngineStopped(front.broken)


async def _unless(stop: asyncio.Event, opening: Awaitable[Backend]) -> Backend | None:
    """Return what was opened, or None where it is to stop before that."""
    work, stopped = asyncio.ensure_future(opening), asyncio.ensure_future(stop.wait())
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not work.done():
        work.cancel()
        return None
    return work.result()


def _described(settings: ServerSettings, listening: socket.socket) -> list[tuple[str, str]]:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    asking = f"by the keys of {settings.keys}" if settings.keys else "whoever reaches the port may ask: no keys are set"
    return [
        ("log", settings.log or "standard error"),
        ("keys", asking),
        ("address", f"http://{shown}:{port}/v1"),
    ]


def _bound(settings: ServerSettings) -> socket.socket:
    """Return a socket that is bound. Raises ServeSettingsError."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        made = socket.socket(found[0][0], socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(found[0][4])
        except OSError:
            made.close()
            raise
    except OSError as error:
        raise ServeSettingsError(
            f"cannot listen at {settings.host} port {settings.port}: {error.strerror or error}"
        ) from None
    return made


@contextlib.contextmanager
def _signals(front: Front, say: Callable[[str], None]) -> Iterator[None]:
    """Have the first SIGTERM or SIGINT end the server, and one that comes before it serves, or after the first, the
    process. Only a main thread hears signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def heard(number: int) -> None:
        if front.state == "starting":
            say(f"stopped   by {signal.Signals(number).name}, before the model was loaded")
        if front.state == "starting" or front.ending.is_set():
            os._exit(128 + number)
        front.ending.set()

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, heard, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def blocking(*given: Any, **named: Any) -> None:
    """Run `serve` on an event loop of its own, until it ends."""
    asyncio.run(serve(*given, **named))
