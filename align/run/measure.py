"""What a policy says of examples, gathered from its data ranks to every rank of the job."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch.distributed as dist
from torch import Tensor

from align.batch import Example, TokenBatch
from align.data.balance import planned
from align.layout import empty, packed, padded
from align.policy import Policy

Of = Callable[[Policy, Sequence[TokenBatch]], Sequence[Tensor]]


class Layout:
    """How examples become micro-batches: packed rows of `row_tokens` or padded ones, `micro_tokens` at a time.

    Padding counts where rows are padded: examples of like length stand together.
    """

    def __init__(self, micro_tokens: int, row_tokens: int, packing: bool, multiple: int = 1):
        self.micro_tokens, self.row_tokens, self.packing, self.multiple = micro_tokens, row_tokens, packing, multiple

    def batches(self, examples: Sequence[Example], rank: int, ranks: int) -> list[TokenBatch]:
        """Return a data rank's micro-batches of a global batch; every rank gets equally many."""
        plan = planned(examples, self.micro_tokens, ranks, packing=self.packing)
        return [self._batch(examples, indexes) for indexes in plan[rank]]

    def _batch(self, examples: Sequence[Example], indexes: Sequence[int]) -> TokenBatch:
        if not indexes:
            return empty(examples[0], self.multiple)
        members = [examples[index] for index in indexes]
        if self.packing:
            return packed(members, min(self.row_tokens, self.micro_tokens), indexes, self.multiple)
        return padded(members, indexes, self.multiple)


def measure(
    policy: Policy | None, examples: Sequence[Example], layout: Layout, of: Of,
    per: Literal["token", "sequence"] = "token",
) -> list[list[np.ndarray]]:  # fmt: skip
    """Return what `of` gives for each sequence of each example, on every rank: float32 (length - 1, ...), or (...).

    Called by all ranks of the job together; `policy` is None on those that hold none of it. `of` returns a tensor a
    micro-batch, whose first axis is the sequences and, per token, whose second is their tokens after the first.
    """
    mine: dict[tuple[int, int], np.ndarray] = {}
    if policy is not None and examples:
        batches = layout.batches(examples, policy.data_rank, policy.data_ranks)
        for batch, values in zip(batches, of(policy, batches), strict=True):
            _take(mine, batch, values, per == "token")
    everywhere: dict[tuple[int, int], np.ndarray] = {}
    for part in gathered(mine):
        everywhere.update(part)
    return [
        [everywhere[number, nth] for nth in range(len(example.sequences))] for number, example in enumerate(examples)
    ]


def _take(mine: dict[tuple[int, int], np.ndarray], batch: TokenBatch, values: Tensor, tokenwise: bool) -> None:
    seen: dict[int, int] = defaultdict(int)
    for row, (number, length) in enumerate(zip(batch.example.tolist(), batch.lengths.tolist())):
        if number >= 0:
            value = values[row, : length - 1] if tokenwise else values[row]
            mine[number, seen[number]] = value.float().numpy()
            seen[number] += 1


def gathered(mine: Any) -> list[Any]:
    """Return what every rank of the job holds, by rank: plain objects, over the host network."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return [mine]
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, mine)
    return every
