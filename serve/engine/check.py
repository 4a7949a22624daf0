"""What a request may be, before it is taken."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from millrace.config import did_you_mean
from serve.engine.request import Drawing, Wanted
from serve.engine.settings import EngineSettings
from serve.errors import EngineError


class Bounds(Protocol):
    """What of an engine bounds a request."""

    vocabulary: int
    positions: int
    adapters: tuple[str, ...]
    settings: EngineSettings

    @property
    def blocks(self) -> int: ...


def check(wanted: Wanted, engine: Bounds) -> None:
    """Raise EngineError for a request that the engine could never run, with what it may be."""
    prompt = np.asarray(wanted.prompt)
    if prompt.ndim != 1 or not len(prompt) or prompt.dtype.kind not in "iu":
        raise EngineError(
            f"the prompt is {prompt.dtype} of shape {prompt.shape}; it must be whole numbers (length,), at least one"
        )
    _tokens("the prompt holds", prompt, engine.vocabulary)
    _tokens("logit_bias names", np.array([token for token, _ in wanted.drawing.logit_bias]), engine.vocabulary)
    if wanted.max_tokens < 0:
        raise EngineError(f"max_tokens is {wanted.max_tokens}; it must be 0 or more")
    asked = f"a prompt of {len(prompt)} tokens and max_tokens {wanted.max_tokens}"
    if len(prompt) + wanted.max_tokens > engine.positions:
        raise EngineError(f"{asked} go past the model's {engine.positions} positions")
    room = engine.blocks * engine.settings.block_tokens
    if len(prompt) + wanted.max_tokens > room:
        raise EngineError(f"{asked} go past the whole cache, which holds {room} tokens")
    if not 0 <= wanted.top_logprobs <= engine.vocabulary:
        raise EngineError(f"top_logprobs is {wanted.top_logprobs}; it must be from 0 to {engine.vocabulary}")
    if wanted.adapter and wanted.adapter not in engine.adapters:
        there = ", ".join(engine.adapters) or "none"
        guess = did_you_mean(wanted.adapter, engine.adapters)
        raise EngineError(f"there is no adapter {wanted.adapter!r}; loaded: {there}.{guess}")
    _drawing(wanted.drawing)


def _tokens(what: str, tokens: np.ndarray, vocabulary: int) -> None:
    outside = tokens[(tokens < 0) | (tokens >= vocabulary)]
    if len(outside):
        raise EngineError(f"{what} token {int(outside[0])}; the model's vocabulary is {vocabulary}")


def _drawing(drawing: Drawing) -> None:
    rules = {
        "temperature": ("0 or more, and finite", 0 <= drawing.temperature < math.inf),
        "top_p": ("above 0 and at most 1", 0 < drawing.top_p <= 1),
        "top_k": ("0 (all) or more", drawing.top_k >= 0),
        "min_p": ("from 0 to 1", 0 <= drawing.min_p <= 1),
        "presence_penalty": ("finite", math.isfinite(drawing.presence_penalty)),
        "frequency_penalty": ("finite", math.isfinite(drawing.frequency_penalty)),
    }
    for name, (rule, holds) in rules.items():
        if not holds:
            raise EngineError(f"{name} is {getattr(drawing, name)}; it must be {rule}")
    wrong = [bias for _, bias in drawing.logit_bias if not math.isfinite(bias)]
    if wrong:
        raise EngineError(f"a logit_bias is {wrong[0]}; it must be finite")
