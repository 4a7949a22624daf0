"""POST /v1/completions: what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from serve.server.asked.common import MOST_TOP, Common, Limits, common, table
from serve.server.asked.fields import Field, flag, is_id, only, take, whole, wrong
from serve.server.refusal import Refusal

EXPECTED = "a string, a list of token ids, or a list of either, none of them empty"
Prompt = str | np.ndarray  # text, or int64 (length,) tokens


@dataclass(frozen=True)
class CompletionAsked:
    """A request for completions of prompts; answers are ordered by prompt, then by number."""

    common: Common
    prompts: tuple[Prompt, ...]
    echo: bool  # the prompt stands before its completion, in text and logprobs

    @property
    def completions(self) -> int:
        """Return how many completions it asks for."""
        return self.common.n * len(self.prompts)


def read(body: Mapping[str, Any], limits: Limits) -> CompletionAsked:
    """Return what a body asks for. Raises Refusal (400)."""
    given = take(
        body,
        table(limits)
        | {
            "prompt": Field(prompts),
            "echo": Field(flag, False),
            "logprobs": Field(whole(0, MOST_TOP)),
            "best_of": Field(whole(1, limits.max_completions)),
            "suffix": Field(only("")),
        },
    )
    if given["prompt"] is None:
        raise Refusal(400, "prompt is missing", "prompt", "missing_required_parameter")
    if given["best_of"] not in (None, given["n"]):
        raise Refusal(
            400, f"best_of is {given['best_of']}, which this server does not do; it may be absent or n, {given['n']}",
            "best_of", "unsupported_parameter",
        )  # fmt: skip
    if given["max_tokens"] is None:
        given["max_tokens"] = min(16, limits.max_tokens)  # as OpenAI has it
    if given["max_tokens"] == 0 and not given["echo"]:
        raise Refusal(400, "max_tokens is 0; that goes with echo: true only", "max_tokens")
    if given["echo"] and given["stream"]:
        raise Refusal(400, "echo does not go with stream: true here", "echo", "unsupported_parameter")
    asked = CompletionAsked(common(given, body, given["logprobs"]), given["prompt"], given["echo"])
    if asked.completions > limits.max_completions:
        raise Refusal(
            400, f"{len(asked.prompts)} prompts with n {asked.common.n} are {asked.completions} completions; one "
            f"request may ask for {limits.max_completions}", "prompt",
        )  # fmt: skip
    return asked


def prompts(value: Any, name: str) -> tuple[Prompt, ...]:
    """Read a text, token ids, or a list of either."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not value:
        wrong(name, value, EXPECTED)
    if all(isinstance(one, str) for one in value):
        return tuple(value)
    if all(is_id(one) for one in value):
        return (np.array(value, np.int64),)
    if not all(isinstance(one, list) and one and all(map(is_id, one)) for one in value):
        wrong(name, value, EXPECTED)
    return tuple(np.array(one, np.int64) for one in value)
