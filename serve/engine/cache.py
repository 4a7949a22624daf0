"""Keys and values in blocks: the memory, and who holds which block.

A block is free, held by one or several sequences, or free but remembered: it still has the keys and values of a
beginning of a prompt, and another prompt that begins so takes it as it is. Remembered blocks are given out last, the
one that was free longest first.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from pretrain.config import Model


class Cache:
    """The memory: of each layer keys and values, each (blocks + 1, block tokens, key heads, head size).

    The last block belongs to nobody and stays zero: it fills tables up. What a sequence has not written yet in its
    blocks is zero too (`clear`): attention multiplies it by 0, and what another sequence may have left there, NaN,
    would survive that.
    """

    def __init__(self, model: Model, blocks: int, block_tokens: int, dtype: torch.dtype, device: torch.device):
        self.blocks, self.block_tokens = blocks, block_tokens
        shape = (2, model.layers, blocks + 1, block_tokens, model.key_heads, model.head_size)
        self._whole = torch.zeros(shape, dtype=dtype, device=device)
        self.keys, self.values = (list(half.unbind()) for half in self._whole.unbind())

    def clear(self, blocks: Sequence[int]) -> None:
        """Zero blocks in all layers."""
        if blocks:
            self._whole[:, :, torch.tensor(blocks, device=self._whole.device)] = 0


def bytes_per_block(model: Model, block_tokens: int, dtype: torch.dtype) -> int:
    """Return what a block takes in all layers."""
    return 2 * model.layers * block_tokens * model.key_heads * model.head_size * int(dtype.itemsize)


class Blocks:
    """Who holds which block. Belongs to the engine's thread. Every call is O(blocks it is about)."""

    def __init__(self, count: int, block_tokens: int):
        self.count, self.block_tokens = count, block_tokens
        self._free = list(range(count - 1, -1, -1))
        self._holders = np.zeros(count, np.int64)
        self._name: dict[int, bytes] = {}  # block -> beginning that it ends
        self._named: dict[bytes, int] = {}
        self._remembered: OrderedDict[int, None] = OrderedDict()

    @property
    def free(self) -> int:
        """Blocks that could be taken."""
        return len(self._free) + len(self._remembered)

    @property
    def used(self) -> int:
        return self.count - self.free

    def take(self, count: int) -> list[int]:
        """Return blocks, each with one holder. There must be as many."""
        assert count <= self.free, (count, self.free)
        taken = []
        for _ in range(count):
            if self._free:
                block = self._free.pop()
            else:
                block, _ = self._remembered.popitem(last=False)
                self._forget(block)
            self._holders[block] = 1
            taken.append(block)
        return taken

    def find(self, names: Iterator[bytes]) -> list[int]:
        """Return the blocks of the longest beginning that is there, without holding them."""
        found = []
        for name in names:
            block = self._named.get(name)
            if block is None:
                break
            found.append(block)
        return found

    def remembered(self, blocks: Sequence[int]) -> int:
        """Return how many of these nobody holds: to hold them makes so many fewer free."""
        return sum(1 for block in blocks if block in self._remembered)

    def hold(self, blocks: Sequence[int]) -> None:
        """Hold blocks that were found."""
        for block in blocks:
            self._remembered.pop(block, None)
            self._holders[block] += 1

    def name(self, block: int, name: bytes) -> None:
        """Say which beginning a held block ends; where another block does already, nothing changes."""
        if name not in self._named:
            self._named[name], self._name[block] = block, name

    def release(self, blocks: Sequence[int]) -> None:
        """Hold blocks no more. The last ones of a sequence are forgotten first."""
        for block in reversed(blocks):
            self._holders[block] -= 1
            assert self._holders[block] >= 0, block
            if self._holders[block] == 0:
                if block in self._name:
                    self._remembered[block] = None
                else:
                    self._free.append(block)

    def forget_all(self) -> None:
        """Forget every beginning: what the memory holds cannot be relied on."""
        for block in list(self._name):
            self._forget(block)
        self._free.extend(self._remembered)
        self._remembered.clear()

    def _forget(self, block: int) -> None:
        name = self._name.pop(block, None)
        if name is not None:
            del self._named[name]


def beginnings(prompt: np.ndarray, block_tokens: int, adapter: int) -> list[bytes]:
    """Return the name of each beginning of whole blocks that leaves at least one token to read.

    A name is a BLAKE2b hash of the adapter and all tokens up to there: another prompt is not taken for this one.
    """
    state = hashlib.blake2b(str(adapter).encode() + b":", digest_size=16)
    names = []
    data = np.ascontiguousarray(prompt, np.int64)
    for stop in range(block_tokens, len(data), block_tokens):
        state.update(data[stop - block_tokens : stop].tobytes())
        names.append(state.copy().digest())
    return names
