"""One pass of the model: which tokens it reads, where their keys and values go, which answers are wanted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Chunk:
    """Tokens of one sequence that follow each other, read in one pass."""

    sequence: int  # row of the step's tables
    start: int  # of its tokens in the pass
    stop: int
    first: int  # position of the first one: as many of the sequence were read before


@dataclass(frozen=True)
class Step:
    """The tokens of one pass: first those of sequences that have one, then chunks; in the order of `tables`."""

    tokens: np.ndarray  # int64 (t,)
    positions: np.ndarray  # int64 (t,)
    of: np.ndarray  # int64 (t,): the sequence of each, a row of tables
    cells: np.ndarray  # int64 (t,): block x block_tokens + place in it, where its key and value are written
    tables: np.ndarray  # int64 (sequences, blocks of the longest): the blocks of each, filled up with nobody's
    chunks: tuple[Chunk, ...]
    wanted: np.ndarray  # int64 (m,): tokens after which logits are wanted, of the t
    adapters: np.ndarray | None  # int64 (t,): number of each token's adapter, -1: none; None: none at all

    @property
    def singles(self) -> int:
        """How many sequences have one token."""
        return len(self.tables) - len(self.chunks)


@dataclass(frozen=True)
class OnDevice:
    """What all layers need of a step, where the model lies."""

    tokens: Tensor
    positions: Tensor
    cells: Tensor
    tables: Tensor
    wanted: Tensor
    adapters: Tensor | None
    cosine: Tensor  # (t, head size / 2); (0, 0) where positions are learnt
    sine: Tensor


def put(step: Step, frequencies: Tensor | None, dtype: torch.dtype, device: torch.device) -> OnDevice:
    """Bring a step to the device: one copy, of all whole numbers."""
    adapters = np.zeros(0, np.int64) if step.adapters is None else step.adapters
    parts = [step.tokens, step.positions, step.cells, step.tables.ravel(), step.wanted, adapters]
    whole = torch.from_numpy(np.concatenate(parts))
    if device.type == "cuda":
        whole = whole.pin_memory().to(device, non_blocking=True)
    tokens, positions, cells, tables, wanted, own = whole.split([len(part) for part in parts])
    cosine = sine = torch.empty(0, 0, dtype=dtype, device=device)
    if frequencies is not None:
        angles = positions[:, None].float() * frequencies
        cosine, sine = angles.cos().to(dtype), angles.sin().to(dtype)
    tables = tables.view(step.tables.shape)
    return OnDevice(tokens, positions, cells, tables, wanted, None if step.adapters is None else own, cosine, sine)
