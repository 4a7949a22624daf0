"""The engine: a thread that runs step after step, and the doors to it."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from serve.engine.answers import answer
from serve.engine.cache import Blocks, Cache, beginnings
from serve.engine.check import check
from serve.engine.decoder import Decoder
from serve.engine.request import Load, Told, Wanted
from serve.engine.scheduler import Part, Scheduler
from serve.engine.sequence import Sequence as Running
from serve.engine.settings import EngineSettings
from serve.errors import EngineError, EngineStopped, QueueFull

FAILURES = 3  # steps in a row; ours: a device that is broken fails them all, a request that breaks one is gone then
log = logging.getLogger(__name__)


class BlockEngine:
    """Continuous batching over a block cache: an Engine (serve.engine.request).

    One thread runs the model. A request whose logits are no numbers, or whose `tell` raises, ends alone; an error of
    a whole step, such as memory that runs out, ends those that ran in it, and the engine goes on with the others.
    Where three steps in a row fail of anything but memory, or planning one fails, the engine stops: everyone is told,
    whoever watches too, and it takes nothing more.
    """

    def __init__(self, decoder: Decoder, cache: Cache, settings: EngineSettings, name: str,
                 kind: Literal["language", "reward"]):  # fmt: skip
        model = decoder.weights.model
        assert model.vocab_size is not None
        assert model.positions is not None
        self.kind, self.vocabulary, self.positions, self.name = kind, model.vocab_size, model.positions, name
        self.adapters = decoder.adapters.names if decoder.adapters is not None else ()
        self.settings = settings
        self._decoder, self._cache = decoder, cache
        self._scheduler = Scheduler(settings, Blocks(cache.blocks, settings.block_tokens))
        self._numbers = itertools.count()
        self._known: dict[int, Running] = {}
        self._cancels: list[int] = []
        self._wake = threading.Condition()  # its lock guards all of the above
        self._closed, self._failures = False, 0
        self._why = ""  # it ended by an error of its own
        self._watching: Callable[[str], None] = lambda why: None
        self._prompt_tokens = self._drawn_tokens = 0
        self._thread = threading.Thread(target=self._run, name=f"engine {name}", daemon=True)
        self._thread.start()

    def submit(self, wanted: Wanted, tell: Callable[[Told], None]) -> int:
        """Take a completion; see serve.engine.request.Engine."""
        if self.kind == "reward" and (wanted.max_tokens or wanted.prompt_logprobs):
            raise EngineError(f"{self.name} is a reward model: it scores sequences and completes none")
        check(wanted, self)
        return self._take(self._sequence(wanted, tell))

    def cancel(self, number: int) -> None:
        """End a completion before the next step: its blocks are free then, and it is told "cancelled"."""
        with self._wake:
            if number in self._known:
                self._cancels.append(number)
                self._wake.notify()

    def watch(self, stopped: Callable[[str], None]) -> None:
        """Have an end by an error told; see serve.engine.request.Engine."""
        with self._wake:
            self._watching, why = stopped, self._why
        if why:
            stopped(why)

    def load(self) -> Load:
        """Say how busy it is."""
        with self._wake:
            blocks = self._scheduler.blocks
            return Load(len(self._scheduler.running), len(self._scheduler.waiting), blocks.count, blocks.used,
                        self._prompt_tokens, self._drawn_tokens)  # fmt: skip

    def close(self) -> None:
        """Stop after the step that runs; what has not ended is told "cancelled". Waits for the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    @property
    def blocks(self) -> int:
        return self._scheduler.blocks.count

    def _sequence(self, wanted: Wanted, tell: Callable[[Told], None]) -> Running:
        adapter = self.adapters.index(wanted.adapter) if wanted.adapter else -1
        prompt = np.array(wanted.prompt, np.int64)
        names = beginnings(prompt, self.settings.block_tokens, adapter) if self.settings.share_prefixes else []
        return Running(next(self._numbers), wanted, prompt, tell, adapter, names,
                       scored=self.kind == "reward", waiting_for_prompt=wanted.prompt_logprobs)  # fmt: skip

    def _take(self, sequence: Running) -> int:
        with self._wake:
            if self._closed:
                raise EngineStopped(self._why or "the engine was closed")
            if len(self._scheduler.waiting) >= self.settings.max_waiting:
                raise QueueFull(f"{len(self._scheduler.waiting)} requests wait, as many as may (max_waiting)")
            self._known[sequence.number] = sequence
            self._scheduler.waiting.append(sequence)
            self._wake.notify()
        return sequence.number

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                while self._next():
                    pass
        except BaseException as error:
            log.exception("the engine %s stopped", self.name)
            self._end_all(f"the engine stopped by an error of its own: {_line(error)}")
        else:
            self._end_all("")

    def _next(self) -> bool:
        """Run one step, or wait for work. Return False when the engine is closed."""
        with self._wake:
            while not (self._closed or self._cancels or self._scheduler.waiting or self._scheduler.running):
                self._wake.wait()
            if self._closed:
                return False
            cancelled = [self._known.pop(number) for number in set(self._cancels) if number in self._known]
            self._cancels = []
            for sequence in cancelled:
                self._scheduler.end(sequence)
            parts, taken = self._scheduler.plan(), self._scheduler.taken()
        for sequence in cancelled:
            self._tell(sequence, Told(finish="cancelled"))
        if parts:
            self._cache.clear(taken)
            self._step(parts)
        return True

    def _step(self, parts: list[Part]) -> None:
        try:
            told = answer(parts, self._decoder, self._cache)
            self._failures = 0
        except Exception as error:
            self._failures += not isinstance(error, MemoryError | torch.OutOfMemoryError)
            if self._failures == FAILURES:
                raise
            log.exception("a step of %d sequences failed", len(parts))
            told = [(part.sequence, Told(finish="error", error=f"the step failed: {_line(error)}")) for part in parts]
            with self._wake:
                self._scheduler.blocks.forget_all()
        over = [sequence for sequence, one in told if not self._tell(sequence, one) or one.finish is not None]
        with self._wake:
            self._prompt_tokens += sum(part.of_prompt for part in parts)
            self._drawn_tokens += sum(len(one.tokens) for _, one in told)
            for sequence in over:
                del self._known[sequence.number]
                self._scheduler.end(sequence)

    def _tell(self, sequence: Running, told: Told) -> bool:
        """Tell, and return whether whoever is told could take it."""
        try:
            sequence.tell(told)
        except Exception:  # of the caller's code: it ends this request, not the engine
            log.exception("request %d: what it is told raised", sequence.number)
            return False
        return True

    def _end_all(self, why: str) -> None:
        """Tell everyone the end. `why`: of an error: those that ran are told it, the others may ask elsewhere."""
        with self._wake:
            self._closed, self._why = True, why
            left, running, watching = list(self._known.values()), set(self._scheduler.running), self._watching
            self._known.clear()
        for sequence in left:
            failed = bool(why) and sequence in running
            self._tell(sequence, Told(finish="error", error=why) if failed else Told(finish="cancelled"))
        if why:
            watching(why)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".removesuffix(": ")
