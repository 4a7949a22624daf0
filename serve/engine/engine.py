"""The engine: a thread that runs step after step, and the doors to it."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
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
from serve.errors import EngineError, QueueFull

log = logging.getLogger(__name__)


class BlockEngine:
    """Continuous batching over a block cache: an Engine (serve.engine.request).

    One thread runs the model. A request whose logits are no numbers, or whose `tell` raises, ends alone; an error of
    a whole step, such as memory that runs out, ends those that ran in it, and the engine goes on with the others.
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
        self._closed = False
        self._prompt_tokens = self._drawn_tokens = 0
        self._thread = threading.Thread(target=self._run, name=f"engine {name}", daemon=True)
        self._thread.start()

    def submit(self, wanted: Wanted, tell: Callable[[Told], None]) -> int:
        """Take a completion; see serve.engine.request.Engine."""
        if self.kind == "reward":
            raise EngineError(f"{self.name} is a reward model: it scores sequences and completes none")
        check(wanted, self)
        return self._take([self._sequence(wanted, tell)])[0]

    def cancel(self, number: int) -> None:
        """End a completion before the next step: its blocks are free then, and it is told "cancelled"."""
        with self._wake:
            if number in self._known:
                self._cancels.append(number)
                self._wake.notify()

    def score(self, sequences: Sequence[np.ndarray]) -> list[float]:
        """Return a reward model's score of each sequence, read after its last token; waits, past any queue."""
        if self.kind != "reward":
            raise EngineError(f"{self.name} is a language model: it completes sequences and has no score")
        scores: dict[int, float] = {}
        errors: list[str] = []
        left = threading.Semaphore(0)

        def ended(told: Told) -> None:
            if told.finish is not None:
                if told.finish != "length":
                    errors.append(told.error or "the engine was closed")
                left.release()

        made = []
        for place, tokens in enumerate(sequences):
            wanted = Wanted(np.asarray(tokens), 0)
            check(wanted, self)
            one = self._sequence(wanted, ended)
            one.scored = lambda value, place=place: scores.__setitem__(place, value)
            made.append(one)
        self._take(made, bounded=False)
        for _ in made:
            left.acquire()
        if errors:
            raise EngineError(errors[0])
        return [scores[place] for place in range(len(made))]

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
                       waiting_for_prompt=wanted.prompt_logprobs)  # fmt: skip

    def _take(self, sequences: list[Running], bounded: bool = True) -> list[int]:
        with self._wake:
            if self._closed:
                raise EngineError("the engine was closed")
            if bounded and len(self._scheduler.waiting) >= self.settings.max_waiting:
                raise QueueFull(f"{len(self._scheduler.waiting)} requests wait, as many as may (max_waiting)")
            for sequence in sequences:
                self._known[sequence.number] = sequence
                self._scheduler.waiting.append(sequence)
            self._wake.notify()
        return [sequence.number for sequence in sequences]

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                while self._next():
                    pass
        except BaseException:
            log.exception("the engine %s stopped", self.name)
            self._end_all(Told(finish="error", error="the engine stopped by an error of its own; see its log"))
        else:
            self._end_all(Told(finish="cancelled"))

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
        except (RuntimeError, MemoryError) as error:
            log.exception("a step of %d sequences failed", len(parts))
            line = str(error).partition("\n")[0]
            told = [(part.sequence, Told(finish="error", error=f"the step failed: {line}")) for part in parts]
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

    def _end_all(self, told: Told) -> None:
        with self._wake:
            self._closed = True
            left = list(self._known.values())
            self._known.clear()
        for sequence in left:
            self._tell(sequence, told)
