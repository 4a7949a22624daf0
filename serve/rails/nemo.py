"""NeMo Guardrails (nemoguardrails, an extra) as one rail among others: its input and output rails, not its dialogs."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from millrace import storage
from serve.errors import RailError, ServeSettingsError
from serve.rails.rail import Action, Message, Side, Verdict


@dataclass(frozen=True)
class Nemo:
    """Run the input and output rails of a NeMo Guardrails configuration on a text.

    `config` is its folder (config.yml, Colang and action files), which may run code of its own. Its input rails see
    each text as a user's message, its output rails the answer after the user's last message; a side for which it
    has no rails passes. What they changed goes on with action redact; with refuse and flag a change counts as found.
    Checks wait for each other: the library runs on one event loop. Its log may hold texts: where an action fails it
    logs what that was given. Cost: that of its rails.
    """

    kind: ClassVar[str] = "nemo"
    actions: ClassVar[tuple[Action, ...]] = ("refuse", "redact", "flag")

    config: str
    seconds: float = 60.0  # for one text

    def __post_init__(self) -> None:
        if importlib.util.find_spec("nemoguardrails") is None:
            raise ServeSettingsError("the rail nemo needs nemoguardrails; pip install 'millrace[guardrails]'")
        if not storage.exists(self.config):
            raise ServeSettingsError(f"nemo.config {self.config} does not exist; it must be a configuration's folder")
        if self.seconds <= 0:
            raise ServeSettingsError(f"nemo.seconds is {self.seconds:g}; it must be above 0")

    def prepare(self) -> None:
        """Read the configuration and make its models."""
        _ = self._opened

    def check(self, text: str, side: Side, before: Sequence[Message]) -> Verdict:
        """Run the rails of a side. Raises RailError where they fail, or not end in time."""
        if not getattr(self._opened.config.rails, side).flows:
            return Verdict(True, text)
        messages: list[Message] = [{"role": "user", "content": text}]
        if side == "output":
            asked = [m for m in before if m.get("role") == "user" and isinstance(m.get("content"), str)]
            messages = [*(asked[-1:] or [{"role": "user", "content": ""}]), {"role": "assistant", "content": text}]
        waiting = asyncio.run_coroutine_threadsafe(self._run(messages, side), self._loop)
        try:
            made = waiting.result(self.seconds)
        except TimeoutError:
            waiting.cancel()
            raise RailError(f"NeMo Guardrails gives no verdict in {self.seconds:g} seconds") from None
        return _verdict(text, made)

    async def _run(self, messages: list[Message], side: Side) -> Any:
        options = {"rails": [side], "log": {"activated_rails": True, "internal_events": True}}
        try:
            return await self._opened.generate_async(messages=messages, options=options)
        finally:
            self._opened.events_history_cache.clear()  # it would keep every text there ever was

    @cached_property
    def _opened(self) -> Any:
        """Return the library's rails, made on their event loop."""
        from nemoguardrails import LLMRails, RailsConfig

        async def opened() -> Any:
            return LLMRails(RailsConfig.from_path(self.config))

        try:
            return asyncio.run_coroutine_threadsafe(opened(), self._loop).result()
        except Exception as error:  # whatever its parsers and the configuration's own code raise
            said = " ".join(str(error).split())[:300]
            raise ServeSettingsError(f"nemo.config {self.config}: {type(error).__name__}: {said}") from error

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="nemo rails", daemon=True).start()
        return loop


def _verdict(text: str, made: Any) -> Verdict:
    """Read the library's answer. Of an action that failed only an event tells: its `check` would call it a change."""
    for event in made.log.internal_events:
        if event.get("status") == "failed":
            raise RailError(f"action {event.get('action_name')} of NeMo Guardrails failed; its own log says of what")
    for rail in made.log.activated_rails:
        if rail.stop:
            return Verdict(False, text, f"blocked by {rail.name}", 1)
    left = made.response[-1]["content"] if isinstance(made.response, list) else made.response
    return Verdict(True, text) if left == text else Verdict(False, left, "changed by a rail", 1)
