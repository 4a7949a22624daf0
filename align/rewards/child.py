"""The process in which a user's reward function runs: messages in on standard input, values out on standard output."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from align.rewards.check import first_line


def main() -> None:
    """Import the function that the first message names, then answer each completion with what it returns."""
    heard, saying = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the function prints goes where errors go
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    path, place, name = _heard(heard)
    sys.path[:] = path
    try:
        function: Callable[[Any], Any] = getattr(_module(place), name)
        if not callable(function):
            raise TypeError(f"{name} is no function")
    except BaseException as error:
        return _say(saying, "raised", first_line(error))
    _say(saying, "ok", None)
    while True:
        try:
            completion = _heard(heard)
        except EOFError:
            return None
        try:
            value = function(completion)
            kind, said = "ok", value if value is None or isinstance(value, bool | int | float | str) else float(value)
        except BaseException as error:
            kind, said = "raised", first_line(error)
        _say(saying, kind, said)


def _module(place: str) -> Any:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    if not os.path.exists(place):  # noqa: PTH110
        raise FileNotFoundError(f"there is no file {place}")
    spec = importlib.util.spec_from_file_location("reward_function", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reward_function"] = module
    spec.loader.exec_module(module)
    return module


def _heard(stream: BinaryIO) -> Any:
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    return pickle.loads(stream.read(int.from_bytes(head, "big")))


def _say(stream: BinaryIO, kind: str, said: Any) -> None:
    body = pickle.dumps((kind, said))
    stream.write(len(body).to_bytes(8, "big") + body)
    stream.flush()
