"""What servers of completions are asked, and what they answer: where vLLM and TensorRT-LLM differ.

Both take the OpenAI API's completions with prompts as token ids. Field and path names are those of vLLM 0.10 to 0.26
(vllm/entrypoints) and of TensorRT-LLM 1.2 (tensorrt_llm/serve). Neither draws tokens as `align.rollout.sampling` does:
a request's seed makes them repeatable as far as the server's own arithmetic is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

import numpy as np

from align.errors import RolloutError
from align.rollout.generator import Request, Rollout, Sampling

Call = tuple[str, Mapping[str, Any]]  # path, JSON body


@dataclass(frozen=True)
class Engine:
    """One kind of server."""

    name: str
    fields: Mapping[str, Any]  # of a completion's request, beside those of all servers
    reload: tuple[Call, ...] = ()  # take weights from "{folder}", in order; (): it cannot
    sleep: tuple[Call, ...] = ()
    wake: tuple[Call, ...] = ()
    hint: str = ""  # how it is started, so that it can


VLLM = Engine(
    "vllm",
    # logprobs 0: of the token that was drawn alone
    {"logprobs": 0, "return_token_ids": True},
    reload=(
        ("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": "{folder}"}}),
        ("/reset_prefix_cache", {}),  # keys and values of the weights before
    ),
    sleep=(("/sleep?level=1", {}),),
    wake=(("/wake_up", {}),),
    hint="VLLM_SERVER_DEV_MODE=1 vllm serve --enable-sleep-mode; with a temperature other than 1 also "
    "--logprobs-mode processed_logprobs",
)
TENSORRT_LLM = Engine(
    "tensorrt_llm",
    # Without text it gives token ids; a stop token is part of the completion only where this is said.
    {"logprobs": 1, "detokenize": False, "include_stop_str_in_output": True},
    hint="trtllm-serve takes weights only from a process on its own devices",
)
ENGINES = {engine.name: engine for engine in (VLLM, TENSORRT_LLM)}  # by what /v1/models says in owned_by


def body(engine: Engine, model: str, request: Request, sampling: Sampling) -> dict[str, Any]:
    """Return the JSON that asks for one completion; it ends at sampling.stop alone."""
    return {
        "model": model,
        "prompt": request.prompt.tolist(),
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": (request.seed + 2**63) % 2**64 - 2**63,
        "stop_token_ids": list(sampling.stop),
        "ignore_eos": True,
        **engine.fields,
    }


@dataclass
class Answer:
    """A server's JSON, checked step by step. Raises RolloutError, which says what is wrong with it."""

    content: Any
    url: str
    choice: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        choices = self.content.get("choices") if isinstance(self.content, dict) else None
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
            self.refuse("it has no one choice")
        self.choice = choices[0]

    def refuse(self, why: str) -> NoReturn:
        """Raise."""
        raise RolloutError(f"{self.url} gave a completion that cannot be used: {why}")

    def rollout(self, sampling: Sampling, version: int) -> Rollout:
        """Return the completion: as many log-probabilities as tokens, and an end that its tokens bear out."""
        tokens, logprobs, finish = self.tokens(), self.logprobs(), self.choice.get("finish_reason")
        if len(tokens) != len(logprobs):
            self.refuse(f"{len(tokens)} tokens, but {len(logprobs)} log-probabilities")
        if not 0 < len(tokens) <= sampling.max_tokens:
            self.refuse(f"{len(tokens)} tokens, where 1 to {sampling.max_tokens} were asked for")
        if finish == "stop" and tokens[-1] not in sampling.stop:
            self.refuse(f"it stopped at token {tokens[-1]}, which is none of the stop tokens {list(sampling.stop)}")
        if finish == "length" and len(tokens) < sampling.max_tokens:
            self.refuse(f"it ends after {len(tokens)} of {sampling.max_tokens} tokens: the server's own limit is lower")
        if finish not in ("stop", "length"):
            self.refuse(f"finish_reason is {finish!r}")
        ended: Literal["stop", "length"] = "stop" if finish == "stop" else "length"
        return Rollout(np.array(tokens, np.int64), np.array(logprobs, np.float32), ended, version)

    def tokens(self) -> list[int]:
        """Return token_ids, or what "token_id:17" says in logprobs.tokens."""
        given = self.choice.get("token_ids")
        if given is None:
            names = (self.choice.get("logprobs") or {}).get("tokens") or []
            if not names or not all(str(name).startswith("token_id:") for name in names):
                self.refuse("it has no token_ids")
            given = [int(str(name).partition(":")[2]) for name in names]
        if not isinstance(given, list) or not all(isinstance(token, int) for token in given):
            self.refuse(f"token_ids is {str(given)[:60]}")
        return given

    def logprobs(self) -> list[float]:
        """Return logprobs.token_logprobs."""
        given = (self.choice.get("logprobs") or {}).get("token_logprobs")
        if not isinstance(given, list):
            self.refuse("it has no logprobs.token_logprobs")
        for at, one in enumerate(given):
            if not isinstance(one, int | float) or not math.isfinite(one) or one > 0:
                self.refuse(f"the log-probability of token {at} is {one}")
        return given
