"""`millrace serve`: a model, or another server, behind the OpenAI-compatible front."""

from __future__ import annotations

import argparse
import sys
from typing import Any

ADAPTER = "NAME=FOLDER"


def arguments(made: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    made.add_argument("model", nargs="?", metavar="MODEL", help="a run or a Hugging Face folder; not with --upstream")
    made.add_argument("--upstream", metavar="URL", help="put the front before another server: vLLM, ...")
    made.add_argument("--host", help="address to listen at (default: 127.0.0.1)")
    made.add_argument("--port", type=int, metavar="N", help="port to listen at; 0: a free one (default: 8000)")
    made.add_argument("--keys", metavar="FILE", help="API keys: a name and a key a line, and their limits")
    made.add_argument("--adapter", action="append", default=[], metavar=ADAPTER, help="a LoRA adapter; repeatable")
    made.add_argument("--rails", metavar="FILE.yaml", help="what is checked of prompts and answers")
    made.add_argument("--log", metavar="FILE", help="the access log, a JSON line a request (default: standard error)")
    made.add_argument("--config", metavar="FILE.yaml", help="sections server and engine, as --set names them")
    made.add_argument(
        "--drain-seconds", type=float, metavar="S", help="for what runs to end, after SIGTERM (default 30)"
    )
    made.add_argument(
        "--set", action="append", default=[], metavar="SECTION.FIELD=VALUE",
        help="change a setting of the server or the engine, such as server.max_waiting=64; repeatable",
    )  # fmt: skip


def run(given: Any) -> int:
    """Serve until a signal ends it."""
    from pipelines.serving import settings
    from serve.errors import ServeSettingsError
    from serve.server.run import blocking

    named = {name: getattr(given, name) for name in ("host", "port", "keys", "log", "drain_seconds")}
    chosen = settings.load(given.config, given.set, {name: one for name, one in named.items() if one is not None})
    if (given.model is None) == (given.upstream is None):
        raise ServeSettingsError("give a model's folder or --upstream URL, one of them")
    opening = _upstream(given) if given.upstream else _local(given, chosen)
    blocking(chosen.server, opening, lambda line: print(line, file=sys.stderr, flush=True))
    return 0


def _local(given: Any, chosen: Any) -> Any:
    from serve import model
    from serve.engine.opening import open_engine
    from serve.server.opening import local

    found = model.find(given.model)
    adapters = _adapters(given.adapter, chosen.server.name or found.name)
    return lambda front: local(front, found, lambda: open_engine(found, chosen.engine, adapters), _rails(given.rails))


def _upstream(given: Any) -> Any:
    from serve.errors import ServeSettingsError
    from serve.server.upstream import upstream

    if given.adapter:
        raise ServeSettingsError("--adapter goes with a model; the server at --upstream has its own")
    return lambda front: upstream(front, given.upstream, _rails(given.rails))


def _rails(url: str | None) -> Any:
    """Return what makes the rails of a file, given what is to hear of their checks."""
    from pipelines.serving.rails import makers
    from serve.rails import compose
    from serve.rails.rails import Rails

    return lambda observe: compose.load(url, makers(), observe) if url else Rails((), observe)


def _adapters(given: list[str], model: str) -> dict[str, str]:
    from serve.errors import ServeSettingsError

    made: dict[str, str] = {}
    for one in given:
        name, equals, folder = one.partition("=")
        if not equals or not name or not folder or name in made:
            raise ServeSettingsError(f"--adapter {one}: {ADAPTER} was expected, each name once")
        if name == model:
            raise ServeSettingsError(f"--adapter {one}: {name} is the model's own name; give the adapter another one")
        made[name] = folder
    return made
