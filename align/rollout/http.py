"""Completions by a server: vLLM or TensorRT-LLM behind the OpenAI API's completions."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor

from align.errors import AlignSettingsError, RolloutError
from align.rollout.engines import ENGINES, Answer, Call, Engine, body
from align.rollout.folder import write_weights
from align.rollout.generator import Request, Rollout, Sampling
from align.rollout.sampling import check
from millrace import storage
from millrace.errors import MillraceError

AGAIN = {408, 425, 429, 500, 502, 503, 504}  # states of HTTP that may pass
LONGEST_WAIT = 10.0  # seconds between two tries


class HttpGenerator:
    """A server's completions, one HTTP request each, `concurrency` at a time.

    url: http://host:port. What answers 429 or 5xx, or not at all, is asked again until `deadline_seconds` after the
    call began, with waits that double. folder: where `update` writes weights, on a disk that the server sees under
    the same path. engine: None asks the server which it is. sleeps: the server shares the trainer's devices, and
    gives their memory back in `sleep`. group: the ranks that call `update` together; its first one writes.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str = "",
        engine: Engine | None = None,
        folder: str = "",
        dtype: torch.dtype | None = None,
        concurrency: int = 64,
        deadline_seconds: float = 600.0,
        first_wait_seconds: float = 0.5,
        headers: Mapping[str, str] | None = None,
        sleeps: bool = False,
        group: Any = None,
        version: int = 0,
    ):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise AlignSettingsError(f"rollouts.url is {url!r}; expected http://HOST:PORT of a server of completions")
        self.version = version
        self._url = f"{parts.scheme}://{parts.netloc}"
        self._model, self._engine, self._folder, self._dtype = model, engine, folder, dtype
        self._concurrency, self._seconds, self._first_wait = concurrency, deadline_seconds, first_wait_seconds
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._sleeps, self._group = sleeps, group

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Rollout]:
        """Complete prompts, in the order given. Raises RolloutError at the first that cannot be completed."""
        check(sampling)
        if not requests:
            return []
        deadline, given_up = time.monotonic() + self._seconds, threading.Event()
        engine, model = self._known(deadline)

        def complete(request: Request) -> Rollout:
            answer = self._call("/v1/completions", body(engine, model, request, sampling), deadline, given_up)
            return Answer(answer, self._url).rollout(sampling, self.version)

        pool = ThreadPoolExecutor(min(self._concurrency, len(requests)), "completions")
        try:
            made = [pool.submit(complete, request) for request in requests]
            wait(made, return_when=FIRST_EXCEPTION)
            failed = next((one for one in made if one.done() and one.exception()), None)
            return [failed.result()] if failed else [one.result() for one in made]
        finally:
            given_up.set()
            pool.shutdown(wait=False, cancel_futures=True)  # what is under way ends by itself

    def update(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Write weights into the folder and have the server load it; the version counts once the server said so.

        Called by all ranks of the group, as they take part in giving the weights. Raises RolloutError on all of them.
        """
        distributed = torch.distributed
        rank = distributed.get_rank(self._group) if distributed.is_initialized() else 0
        failed: list[str] = [""]
        if rank == 0:
            try:
                self._reload(weights, version)
            except MillraceError as error:  # of the server, or of the disk
                failed = [str(error)]
        for _ in weights if rank or failed[0] else ():
            pass  # the other ranks' calls, and what is left of this one's
        if distributed.is_initialized() and distributed.get_world_size(self._group) > 1:
            distributed.broadcast_object_list(failed, group=self._group, group_src=0)
        if failed[0]:
            raise RolloutError(failed[0])
        self.version = version

    def _reload(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        deadline = time.monotonic() + self._seconds
        engine, _ = self._known(deadline)
        if not engine.reload:
            raise RolloutError(f"{self._url} is {engine.name}, which loads no weights over HTTP: {engine.hint}")
        if not self._folder:
            raise RolloutError(f"{self._url} gets its weights by a folder, and none is named")
        folder = storage.join(self._folder, "weights")
        write_weights(folder, weights, self._dtype)
        self._all(engine, engine.reload, {"{folder}": storage.absolute(folder)}, f"version {version}")

    def sleep(self) -> None:
        """Have a server on the trainer's devices give their memory back."""
        self._rest("sleep")

    def wake(self) -> None:
        """Have it take it again."""
        self._rest("wake")

    def _rest(self, what: str) -> None:
        if not self._sleeps:
            return
        engine, _ = self._known(time.monotonic() + self._seconds)
        calls: tuple[Call, ...] = getattr(engine, what)
        if not calls:
            raise RolloutError(f"{self._url} is {engine.name}, which cannot {what}: give it devices of its own")
        self._all(engine, calls, {}, what)

    def _all(self, engine: Engine, calls: tuple[Call, ...], names: Mapping[str, str], purpose: str) -> None:
        deadline = time.monotonic() + self._seconds
        for path, given in calls:
            try:
                self._call(path, _named(given, names), deadline)
            except RolloutError as error:
                raise RolloutError(f"{error} ({purpose}; the server is started as {engine.hint})") from None

    def _known(self, deadline: float) -> tuple[Engine, str]:
        """Return which server this is, and the model it has, asking it once."""
        if self._engine is None or not self._model:
            answer = self._call("/v1/models", None, deadline)
            models = answer.get("data") if isinstance(answer, dict) else None
            if not models:
                raise RolloutError(f"{self._url}/v1/models names no model")
            card = next((one for one in models if one.get("id") == self._model), None)
            if card is None and self._model:
                there = ", ".join(str(one.get("id")) for one in models)
                raise RolloutError(f"{self._url} has no model {self._model}; it has {there}")
            card = card or models[0]
            engine = self._engine or ENGINES.get(card.get("owned_by", ""))
            if engine is None:
                raise RolloutError(
                    f"{self._url} is a server of {card.get('owned_by')!r}; completions with token ids and "
                    f"log-probabilities are known of {', '.join(ENGINES)}"
                )
            self._engine, self._model = engine, str(card["id"])
        return self._engine, self._model

    def _call(self, path: str, given: Any, deadline: float, given_up: threading.Event | None = None) -> Any:
        """Return a call's JSON (None where the answer is empty), asking again while it may help."""
        given_up, pause, said = given_up or threading.Event(), self._first_wait, "nothing"
        while (left := deadline - time.monotonic()) > 0 and not given_up.is_set():
            try:
                status, content = self._try(path, given, left)
            except (OSError, http.client.HTTPException) as error:
                said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            else:
                if status < 400:
                    return _parsed(content, self._url + path)
                said = f"HTTP {status}: {_message(content)}"
                if status not in AGAIN:
                    raise RolloutError(f"{self._url}{path} answers {said}")
            given_up.wait(min(pause, max(deadline - time.monotonic(), 0)))
            pause = min(2 * pause, LONGEST_WAIT)
        raise RolloutError(f"{self._url}{path} gave no answer in {self._seconds:g} s; the last was {said}")

    def _try(self, path: str, given: Any, seconds: float) -> tuple[int, bytes]:
        parts = urlsplit(self._url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        assert parts.hostname
        connection = kind(parts.hostname, parts.port, timeout=seconds)
        try:
            content = None if given is None else json.dumps(given)
            connection.request("GET" if given is None else "POST", path, content, self._headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _parsed(content: bytes, url: str) -> Any:
    if not content.strip():
        return None
    try:
        return json.loads(content)
    except ValueError:
        raise RolloutError(f"{url} answers with no JSON: {content[:80]!r}") from None


def _message(content: bytes) -> str:
    """Return what a server says is wrong, in whichever of the usual places."""
    text = content.decode(errors="replace")
    try:
        said = json.loads(text)
    except ValueError:
        return text.strip()[:200]
    for _ in range(3):
        if not isinstance(said, dict):
            break
        said = said.get("error") or said.get("message") or said.get("detail") or str(said)
    return str(said)[:200]


def _named(given: Any, names: Mapping[str, str]) -> Any:
    """Put values where their names stand in a call's JSON."""
    if isinstance(given, Mapping):
        return {key: _named(one, names) for key, one in given.items()}
    return names.get(given, given) if isinstance(given, str) else given
