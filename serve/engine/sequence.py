"""A request as the engine's thread keeps it: what was read, what was drawn, which blocks it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from serve.engine.request import Token, Told, Wanted


@dataclass(eq=False)
class Sequence:
    """A request and its state. `blocks` is empty while it waits."""

    number: int
    wanted: Wanted
    prompt: np.ndarray  # int64 (length,)
    tell: Callable[[Told], None]
    adapter: int  # -1: none
    names: list[bytes]  # of the prompt's beginnings, a whole block each
    scored: bool = False  # a reward model's score is wanted, after the last token
    read: int = 0  # tokens whose keys and values are in its blocks
    drawn: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    table: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # the blocks, with room for more
    told_prompt: list[Token] = field(default_factory=list)
    waiting_for_prompt: bool = False  # its log-probabilities are wanted and not told yet

    @property
    def length(self) -> int:
        """Tokens it has, read or not."""
        return len(self.prompt) + len(self.drawn)

    @property
    def decodes(self) -> bool:
        """Whether only the token drawn last is to be read."""
        return self.read == self.length - 1 and bool(self.drawn)

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """Return tokens from start to stop, of the prompt and what was drawn."""
        prompt = self.prompt
        if stop <= len(prompt):
            return prompt[start:stop]
        drawn = np.asarray(self.drawn[max(0, start - len(prompt)) : stop - len(prompt)], np.int64)
        return np.concatenate([prompt[start:], drawn])

    def give(self, blocks: list[int]) -> None:
        """Append blocks."""
        need = len(self.blocks) + len(blocks)
        if need > len(self.table):
            table = np.zeros(max(need, 2 * len(self.table)), np.int64)
            table[: len(self.blocks)] = self.blocks
            self.table = table
        self.table[len(self.blocks) : need] = blocks
        self.blocks += blocks
