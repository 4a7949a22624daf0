"""What passes from data and rollouts to a policy: sequences, the examples they make, micro-batches of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenSequence:
    """A prompt and what follows it, of at least two tokens."""

    tokens: np.ndarray  # int64 (length,)
    mask: np.ndarray  # bool (length,): tokens that are learnt, or were generated; mask[0] is False
    token_fields: Mapping[str, np.ndarray] = field(default_factory=dict)  # name -> (length - 1, ...): of token i + 1


@dataclass(frozen=True)
class Example:
    """What a micro-batch never splits: one sequence; a pair, chosen before rejected; all answers to a prompt."""

    id: str
    sequences: tuple[TokenSequence, ...]
    # of the whole: a margin, a label, (k,) attributes; a tuple: one number for each of the sequences
    fields: Mapping[str, float | np.ndarray | tuple[float, ...]] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Tokens in all sequences: what an example costs."""
        return sum(len(one.tokens) for one in self.sequences)


@dataclass(frozen=True)
class TokenBatch:
    """A micro-batch: `n` sequences laid out in `b` rows of `s` tokens, one a row (padded) or several (packed).

    A sequence never sees another: `positions` begin at 0 in each and `cu_seqlens` bounds attention. Cells that no
    sequence fills are padding, each run of them a document of its own. What is computed of a sequence comes back as
    one row of (n, t), t = the longest length - 1: entry i belongs to token i + 1, which position i predicts.
    """

    tokens: Tensor  # int64 (b, s)
    positions: Tensor  # int64 (b, s): in the sequence
    cu_seqlens: Tensor  # int32 (documents + 1,): bounds in the b * s tokens; holds every multiple of s
    starts: Tensor  # int64 (n,): where a sequence begins in the b * s tokens
    lengths: Tensor  # int64 (n,)
    labels: Tensor  # int64 (n, t): token i + 1; 0 past the end
    mask: Tensor  # bool (n, t): whether token i + 1 is learnt, or was generated; False past the end
    example: Tensor  # int64 (n,): of the global batch, that a sequence belongs to; -1: filler of an empty batch
    fields: Mapping[str, Tensor] = field(default_factory=dict)  # name -> (n, t, ...) or (n, ...), float32 or int64

    def to(self, device: torch.device | str) -> TokenBatch:
        """Return the batch on a device."""
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in TENSORS}
        return TokenBatch(**moved, fields={k: v.to(device, non_blocking=True) for k, v in self.fields.items()})

    @property
    def cells(self) -> Tensor:
        """Return int64 (n, t): where in the b * s tokens the position is that predicts token i + 1; 0 past the end."""
        steps = torch.arange(self.labels.shape[1], device=self.starts.device)
        inside = steps < (self.lengths - 1)[:, None]
        return torch.where(inside, self.starts[:, None] + steps, 0)

    @property
    def last_cells(self) -> Tensor:
        """Return int64 (n,): where a sequence's last token lies in the b * s tokens."""
        return self.starts + self.lengths - 1


TENSORS = ("tokens", "positions", "cu_seqlens", "starts", "lengths", "labels", "mask", "example")
