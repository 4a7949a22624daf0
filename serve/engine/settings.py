"""How an engine uses its machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from serve.errors import ServeSettingsError


@dataclass(frozen=True)
class EngineSettings:
    """How an engine uses its machine; a field's comment is its documentation."""

    max_batch: int = 32  # completions that run at once
    step_tokens: int = 512  # read or drawn in one pass of the model: bounds what a long prompt delays the others
    max_waiting: int = 256  # requests beyond those that run; one more is refused with QueueFull
    block_tokens: int = 16  # of a block of the cache
    blocks: int = 0  # of the cache; 0: as many as cache_bytes holds
    cache_bytes: int = 0  # of keys and values, at most; 0: 1 GiB on a CPU, 80 % of what a GPU has free
    share_prefixes: bool = True  # equal beginnings of prompts are read once, in whole blocks
    dtype: Literal["", "float32", "bfloat16", "float16"] = ""  # "": float32 on a CPU, bfloat16 on a GPU
    device: str = ""  # "": cuda where there is one, else cpu

    def __post_init__(self) -> None:
        for name in ("max_batch", "step_tokens", "block_tokens"):
            _at_least(self, name, 1)
        for name in ("max_waiting", "blocks", "cache_bytes"):
            _at_least(self, name, 0)
        if self.step_tokens < self.max_batch:
            raise ServeSettingsError(
                f"step_tokens is {self.step_tokens}; it must be at least max_batch {self.max_batch}, "
                "as every completion that runs draws one token a step"
            )
        if self.dtype not in ("", "float32", "bfloat16", "float16"):
            raise ServeSettingsError(f"dtype is {self.dtype!r}; known: float32, bfloat16, float16")


def _at_least(settings: EngineSettings, name: str, least: int) -> None:
    value = getattr(settings, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ServeSettingsError(f"{name} is {value!r}; it must be a whole number of at least {least}")
