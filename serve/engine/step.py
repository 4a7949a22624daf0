"""One pass of the model: which tokens it reads, where their keys and values go, which answers are wanted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Chunk:
    """Tokens of one sequence that follow each other, read in one pass."""

    start: int  # of them in the pass
    stop: int
    first: int  # position of the first one: as many of the sequence were read before
    table: np.ndarray  # int32: the sequence's blocks, at least up to its last token here


@dataclass(frozen=True)
class Step:
    """The tokens of one pass: first the single ones of `tables`, a row each, then chunks."""

    tokens: np.ndarray  # int64 (t,)
    positions: np.ndarray  # int64 (t,)
    cells: np.ndarray  # int64 (t,): block x block_tokens + place in it, where its key and value are written
    tables: np.ndarray  # int32 (d, blocks of the longest): blocks of the first d tokens' sequences
    chunks: tuple[Chunk, ...]
    wanted: np.ndarray  # int64 (m,): tokens after which logits are wanted, of the t
    adapters: np.ndarray | None  # int64 (t,): number of each token's adapter, -1: none; None: none at all


@dataclass(frozen=True)
class OnDevice:
    """What all layers need of a step, where the model lies."""

    tokens: Tensor
    cells: Tensor
    tables: Tensor
    lengths: Tensor  # (d,): tokens of the first d tokens' sequences, these included
    wanted: Tensor
    adapters: Tensor | None
    cosine: Tensor  # (t, 1, 1, head size / 2); empty where positions are learnt
    sine: Tensor
    positions: Tensor


def put(step: Step, frequencies: Tensor | None, dtype: torch.dtype, device: torch.device) -> OnDevice:
    """Bring a step to the device: one copy for all whole numbers."""
    singles = len(step.tables)
    parts = [step.tokens, step.cells, step.positions, step.wanted, step.tables.ravel()]
    if step.adapters is not None:
        parts.append(step.adapters)
    whole = torch.from_numpy(np.concatenate(parts, dtype=np.int64, casting="same_kind"))
    if device.type == "cuda":
        whole = whole.pin_memory().to(device, non_blocking=True)
    pieces = whole.split([len(part) for part in parts])
    tokens, cells, positions, wanted, tables = pieces[:5]
    cosine = sine = torch.empty(0)
    if frequencies is not None:
        angles = (positions[:, None].float() * frequencies)[:, None, None]
        cosine, sine = angles.cos().to(dtype), angles.sin().to(dtype)
    return OnDevice(
        tokens, cells, tables.view(step.tables.shape), positions[:singles] + 1, wanted,
        pieces[5] if step.adapters is not None else None, cosine, sine, positions,
    )  # fmt: skip
