"""What completions and chat completions have in common."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serve.engine.request import Drawing
from serve.server.asked.fields import Field, bias, flag, ids, ignored, number, only, strings, text, whole, wrong
from serve.server.refusal import Refusal

SEEDS = 2**63
MOST_TOP = 20  # of top_logprobs, as OpenAI has it
LONGEST_STOP = 1000  # characters of one stop string: a stream holds so many back at most


@dataclass(frozen=True)
class Limits:
    """What one request may ask for."""

    max_tokens: int  # of one completion
    max_completions: int


@dataclass(frozen=True)
class Common:
    """How completions are drawn, ended and told."""

    model: str  # "": the one there is
    n: int
    max_tokens: int | None  # None: as many as there is room for
    drawing: Drawing
    stop: tuple[str, ...]
    stop_ids: tuple[int, ...]
    ignore_end: bool  # go on after the model's own end tokens
    logprobs: int | None  # most likely tokens told beside each drawn one; None: no logprobs at all
    stream: bool
    include_usage: bool
    token_ids: bool  # tell the ids of tokens too

    def seed(self, number: int) -> int:
        """Return the seed of completion `number` of a prompt: the request's own of the first."""
        return (self.drawing.seed + number * 0x9E3779B97F4A7C15) % SEEDS


def stream_options(value: Any, name: str) -> bool:
    """Read whether a stream ends with the usage."""
    if not isinstance(value, dict) or not set(value) <= {"include_usage", "include_obfuscation"}:
        wrong(name, value, 'an object such as {"include_usage": true}')
    if value.get("include_obfuscation"):
        only(False)(value["include_obfuscation"], f"{name}.include_obfuscation")
    return flag(value.get("include_usage", False), f"{name}.include_usage")


def table(limits: Limits) -> dict[str, Field]:
    """Return the fields of both kinds."""
    return {
        "model": Field(text, ""),
        "n": Field(whole(1, limits.max_completions), 1),
        "max_tokens": Field(whole(0, limits.max_tokens)),
        "temperature": Field(number(0, 2), 1.0),
        "top_p": Field(number(0, 1), 1.0),
        "top_k": Field(whole(-1, 2**31 - 1), 0),
        "min_p": Field(number(0, 1), 0.0),
        "seed": Field(whole(-(2**63), 2**63 - 1)),
        "presence_penalty": Field(number(-2, 2), 0.0),
        "frequency_penalty": Field(number(-2, 2), 0.0),
        "logit_bias": Field(bias, ()),
        "stop": Field(strings(16, LONGEST_STOP), ()),
        "stop_token_ids": Field(ids(64), ()),
        "ignore_eos": Field(flag, False),
        "stream": Field(flag, False),
        "stream_options": Field(stream_options, False),
        "return_token_ids": Field(flag, False),
        "user": Field(ignored),
        "metadata": Field(ignored),
        "safety_identifier": Field(ignored),
        "prompt_cache_key": Field(ignored),
        "prompt_cache_retention": Field(ignored),
        "service_tier": Field(only(("auto", "default"))),
        "store": Field(only(False)),
    }


def common(given: Mapping[str, Any], body: Mapping[str, Any], logprobs: int | None) -> Common:
    """Return what both kinds have in common, of fields that were read. Raises Refusal."""
    if body.get("stream_options") is not None and not given["stream"]:
        raise Refusal(400, "stream_options goes with stream: true only", "stream_options")
    if given["top_p"] == 0:
        raise Refusal(400, "top_p is 0; it must be more (temperature 0 gives the most likely tokens)", "top_p")
    seed = secrets.randbelow(SEEDS) if given["seed"] is None else given["seed"] % SEEDS
    drawing = Drawing(
        temperature=given["temperature"], top_p=given["top_p"], top_k=max(given["top_k"], 0), min_p=given["min_p"],
        seed=seed, presence_penalty=given["presence_penalty"], frequency_penalty=given["frequency_penalty"],
        logit_bias=given["logit_bias"],
    )  # fmt: skip
    return Common(
        given["model"], given["n"], given["max_tokens"], drawing, given["stop"], given["stop_token_ids"],
        given["ignore_eos"], logprobs, given["stream"], given["stream_options"], given["return_token_ids"],
    )  # fmt: skip
