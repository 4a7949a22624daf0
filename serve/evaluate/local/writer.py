"""Answers by the engine: many at once, what prompts share read once, each ended where its text does."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from serve.engine.engine import BlockEngine
from serve.engine.opening import open_engine
from serve.engine.request import Drawing, Told, Wanted
from serve.engine.settings import EngineSettings
from serve.errors import EvaluationError, ModelFolderError
from serve.model import ModelFolder

WAITING = 1 << 30  # requests that may wait: all are handed over at once


class Writer:
    """An engine that completes prompts."""

    def __init__(self, found: ModelFolder, tokenizer: Any, dtype: torch.dtype, device: str):
        """Open the model. Raises ModelFolderError, which names what else can write."""
        name: Any = str(dtype).removeprefix("torch.")
        try:
            self._engine: BlockEngine = open_engine(
                found, EngineSettings(dtype=name, device=device, max_waiting=WAITING)
            )
        except ModelFolderError as error:
            raise ModelFolderError(f"{error}; --generator transformers writes with transformers") from None
        self._tokenizer = tokenizer

    def write(
        self, prompts: Sequence[np.ndarray], max_tokens: int, ends: tuple[int, ...], stop: Sequence[str],
        temperature: float, seed: int,
    ) -> list[list[int]]:  # fmt: skip
        """Return the tokens of an answer to each prompt, int64 (length,); prompt n is answered with seed + n.

        An answer ends with the token in which a stop string is complete, an end token, or at max_tokens.
        """
        answers = [_Answer(self, max_tokens, stop) for _ in prompts]
        for n, (prompt, answer) in enumerate(zip(prompts, answers)):
            drawing = Drawing(temperature, seed=seed + n)
            answer.number = self._engine.submit(Wanted(prompt, max_tokens, drawing, ends), answer.told)
        for n, answer in enumerate(answers):
            answer.ended.wait()
            if answer.error:
                raise EvaluationError(f"prompt {n} could not be answered: {answer.error}")
        return [answer.tokens for answer in answers]

    def close(self) -> None:
        """Stop, and give the memory back."""
        self._engine.close()

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(tokens))

    def cancel(self, number: int) -> None:
        self._engine.cancel(number)


class _Answer:
    """What has been told of one answer."""

    def __init__(self, writer: Writer, max_tokens: int, stop: Sequence[str]):
        self.tokens: list[int] = []
        self.number = -1
        self.error = ""
        self.ended = threading.Event()
        self._writer, self._stop, self._stopped = writer, [one for one in stop if one], False
        self._look = max((len(one.encode()) for one in self._stop), default=0) + 1  # a token has a byte at least

    def told(self, told: Told) -> None:
        if any(one.logprob is not None and not math.isfinite(one.logprob) for one in told.tokens):
            self.error = "the model's log-probabilities are no numbers"
        if not self._stopped:
            self.tokens += [one.id for one in told.tokens]
        if told.finish is not None:
            if told.finish == "error" or (told.finish == "cancelled" and not self._stopped):
                self.error = told.error or "the engine was closed"
            self.ended.set()
        elif self._stop and not self._stopped:
            tail = self._writer.decode(self.tokens[-self._look :])
            if any(one in tail for one in self._stop):
                self._stopped = True
                self._writer.cancel(self.number)
