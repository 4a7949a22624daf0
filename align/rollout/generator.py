"""The interface of everything that completes prompts, and what it gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn."""

    max_tokens: int = 256  # of a completion, its end token included
    temperature: float = 1.0  # 0: the most likely token
    top_p: float = 1.0
    top_k: int = 0  # 0: all
    stop: tuple[int, ...] = ()  # tokens that end a completion: the model's own end tokens


@dataclass(frozen=True)
class Request:
    """One completion that is wanted; the same request gives the same tokens, wherever and beside whatever it runs."""

    prompt: np.ndarray  # int64 (length,)
    seed: int  # of this completion's random numbers


@dataclass(frozen=True)
class Rollout:
    """A completion."""

    tokens: np.ndarray  # int64 (length,): with the end token, where it ended
    logprobs: np.ndarray  # float32 (length,), nats: of each token, at the temperature it was drawn with
    finish: Literal["stop", "length"]
    version: int  # of the weights that drew it


class Generator(Protocol):
    """An engine with a copy of the policy's weights, or with the policy's own."""

    version: int  # of the weights it holds

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Rollout]:
        """Complete prompts, in the order given. Raises RolloutError."""
        ...

    def update(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Take new weights by their Hugging Face names, in place; on the policy's own, note the version only."""
        ...

    def sleep(self) -> None:
        """Give device memory back until `wake`."""
        ...

    def wake(self) -> None:
        """Be ready again."""
        ...


@runtime_checkable
class Team(Protocol):
    """What a generator has, beside the above, that several ranks are together: they complete the same requests."""

    leads: bool  # whether this rank's completions are the ones that count

    def share(self, store: Any) -> Any:
        """Return a queue's store as the team uses it: the leader takes a number, and all get it."""
        ...
