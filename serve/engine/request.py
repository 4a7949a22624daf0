"""What is asked of an engine and what it tells: token ids only; text is the server's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

Finish = Literal["stop", "length", "cancelled", "error"]


@dataclass(frozen=True)
class Drawing:
    """How the tokens of a completion are drawn."""

    temperature: float = 1.0  # 0: the most likely token
    top_p: float = 1.0
    top_k: int = 0  # 0: all
    min_p: float = 0.0  # tokens less likely than this times the most likely one are left out
    seed: int = 0
    presence_penalty: float = 0.0  # taken from the logits of tokens the completion has
    frequency_penalty: float = 0.0  # times how often it has them
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token, what is added to its logit)


@dataclass(frozen=True)
class Wanted:
    """One completion that is wanted. The same one gives the same tokens, whatever runs beside it."""

    prompt: np.ndarray  # int64 (length,)
    max_tokens: int  # 0: read the prompt only, for its log-probabilities or a reward model's score
    drawing: Drawing = Drawing()
    stop: tuple[int, ...] = ()  # tokens that end it; the one that did is told too
    top_logprobs: int = 0  # most likely tokens told beside each drawn one
    prompt_logprobs: bool = False  # tell those of the prompt's tokens first
    adapter: str = ""  # name of a LoRA adapter; "": none


@dataclass(frozen=True)
class Token:
    """A token of a completion, or, with `prompt_logprobs`, of its prompt."""

    id: int
    logprob: float | None  # nats, of the model's own distribution at temperature 1; None: the prompt's first
    top: tuple[tuple[int, float], ...] = ()  # (token, logprob), the most likely first


@dataclass(frozen=True)
class Told:
    """What an engine tells of a completion as it goes: in order, and the last one has a finish."""

    tokens: tuple[Token, ...] = ()
    prompt: tuple[Token, ...] = ()
    score: float | None = None  # of a reward model, with the finish: read after the prompt's last token
    finish: Finish | None = None
    error: str = ""  # one line, where finish is "error"


@dataclass(frozen=True)
class Load:
    """How busy an engine is."""

    running: int
    waiting: int
    blocks: int  # of the cache
    blocks_used: int
    prompt_tokens: int  # read, since the start
    tokens: int  # drawn, since the start


class Engine(Protocol):
    """A model that completes token sequences. Every method may be called from any thread."""

    kind: Literal["language", "reward"]
    vocabulary: int
    positions: int  # tokens a prompt and its completion may have together
    adapters: tuple[str, ...]

    def submit(self, wanted: Wanted, tell: Callable[[Told], None]) -> int:
        """Take a completion and return its number; `tell` is called on the engine's thread and must not wait.

        A reward model draws nothing: its max_tokens is 0, and the last thing told is the score. Raises QueueFull;
        EngineStopped where it runs no more; and EngineError for what the model cannot run: tokens outside the
        vocabulary, a prompt and max_tokens past its positions or past its whole cache, an unknown adapter.
        """
        ...

    def cancel(self, number: int) -> None:
        """End a completion, whose blocks are free then; one that has ended already is left alone."""
        ...

    def watch(self, stopped: Callable[[str], None]) -> None:
        """Have `stopped` called with one line where the engine ends by an error of its own, on its thread; or at once
        where that has happened. Whoever watched before is told no more."""
        ...

    def load(self) -> Load:
        """Say how busy it is."""
        ...

    def close(self) -> None:
        """Stop: completions still running are told finish "cancelled"."""
        ...
