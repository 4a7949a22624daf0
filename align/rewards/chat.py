"""Questions to a language model behind an OpenAI-compatible /v1/chat/completions URL."""

from __future__ import annotations

import functools
import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from align.errors import RewardError
from align.rewards.check import first_line
from millrace import storage

Message = Mapping[str, str]  # role, content
T = TypeVar("T")
PASSING = {408, 409, 425, 429, 500, 502, 503, 504}  # statuses that may be others a moment later


@dataclass(frozen=True)
class Chat:
    """A model that answers conversations. Answers are kept in `cache` by all that they depend on."""

    url: str  # up to and with /v1
    model: str
    max_tokens: int = 1024  # of an answer
    temperature: float = 0.0
    seconds: float = 120.0  # for one answer
    concurrency: int = 8  # questions under way at once
    attempts: int = 3  # of one question, where the server fails or is busy, or the answer has not the form asked for
    wait_seconds: float = 1.0  # before the second attempt; twice as long before each further one
    key_variable: str = "OPENAI_API_KEY"  # environment variable of the key, sent where it is set
    cache: str = ""  # folder; "": none

    def ask(self, conversations: Sequence[Sequence[Message]], read: Callable[[str], T]) -> list[T]:
        """Return what `read` makes of each answer, in order, several questions at a time.

        Where `read` raises ValueError the answer and its complaint are shown to the model, which answers again.
        Raises RewardError after `attempts`.
        """
        with ThreadPoolExecutor(self.concurrency) as pool:
            return list(pool.map(functools.partial(self._ask, read=read), conversations))

    def _ask(self, conversation: Sequence[Message], read: Callable[[str], T]) -> T:
        asked: list[Message] = list(conversation)
        said = ""
        for _ in range(self.attempts):
            answer = self._answer(asked)
            try:
                return read(answer)
            except ValueError as error:
                said = str(error)
                asked = [*conversation, {"role": "assistant", "content": answer}, {"role": "user", "content": said}]
        raise RewardError(f"{self.model} at {self.url} gave {self.attempts} answers of which none can be used: {said}")

    def _answer(self, messages: Sequence[Message]) -> str:
        body = {"model": self.model, "messages": list(messages), "max_tokens": self.max_tokens,
                "temperature": self.temperature}  # fmt: skip
        place = ""
        if self.cache:
            key = hashlib.sha256(json.dumps([self.url, body], sort_keys=True).encode()).hexdigest()
            place = storage.join(self.cache, f"{key}.json")
            if storage.exists(place):
                return str(storage.read_json(place)["answer"])
        answer = self._attempted(body)
        if place:
            storage.write_bytes(place, json.dumps({"request": body, "answer": answer}).encode())
        return answer

    def _attempted(self, body: Mapping[str, Any]) -> str:
        said = ""
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.wait_seconds * 2 ** (attempt - 1))
            try:
                return self._post(body)
            except urllib.error.HTTPError as error:
                with error:
                    told = error.read(2000).decode(errors="replace").strip().partition("\n")[0][:200]
                said = f"HTTP status {error.code}{f': {told}' if told else ''}"
                if error.code not in PASSING:
                    break
            except (OSError, http.client.HTTPException) as error:  # refused, reset, timed out, torn off
                said = first_line(error)
            except (ValueError, KeyError, IndexError, TypeError):
                said = "its answer is no chat completion"
        raise RewardError(f"{self.model} at {self.url} does not answer: {said}")

    def _post(self, body: Mapping[str, Any]) -> str:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.key_variable):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=self.seconds) as response:
            content = json.load(response)["choices"][0]["message"]["content"]
        if not isinstance(content, str):
            raise TypeError("content is no text")
        return content


def is_url(given: str) -> bool:
    """Tell whether a setting is an http(s) address."""
    parts = urllib.parse.urlsplit(given)
    return parts.scheme in ("http", "https") and bool(parts.hostname)
