"""The one rule between Megatron's layout and Hugging Face's: a matrix is a list of runs of rows of other matrices.

    fused q, k, v with 4 heads and 2 groups    q[0:2] k[0:1] v[0:1] q[2:4] k[1:2] v[1:2]    (of heads)
    gate and up projection                     gate[0:f] up[0:f]
    vocabulary padded from 500 to 512          embedding[0:500] zeros[0:12]

Read forwards it imports, read backwards it exports; a rank's part under tensor parallelism is a window on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

PADDING = ""  # the name of rows that are zero in Megatron and absent in Hugging Face


@dataclass(frozen=True)
class Box:
    """A part of one of Megatron's tensors, named as its checkpoints name it, at its place in the whole tensor."""

    key: str
    offset: tuple[int, ...]
    shape: tuple[int, ...]


class Tensors(Protocol):
    """Where Hugging Face tensors are read from."""

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return rows (and columns) from start to stop of a tensor."""


@dataclass(frozen=True)
class Run:
    """Rows `start` to `stop` of a Hugging Face tensor."""

    name: str
    start: int
    stop: int

    @property
    def rows(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Matrix:
    """One of Megatron's matrices (or vectors: no columns), or that of one expert in a tensor of all experts."""

    key: str
    runs: tuple[Run, ...]
    columns: int | None
    expert: int | None = None
    transposed: bool = False  # Hugging Face keeps it as (input, output); its "rows" are then columns there

    @property
    def rows(self) -> int:
        return sum(run.rows for run in self.runs)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.rows,) if self.columns is None else (self.rows, self.columns)

    @property
    def box(self) -> Box:
        """Where the whole matrix lies."""
        if self.expert is None:
            return Box(self.key, (0,) * len(self.shape), self.shape)
        return Box(self.key, (self.expert, *(0 for _ in self.shape)), (1, *self.shape))

    def sources(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the Hugging Face tensors it is made of."""
        rows: dict[str, int] = {}
        for run in self.runs:
            rows[run.name] = max(run.stop, rows.get(run.name, 0))
        rows.pop(PADDING, None)
        if self.columns is None:
            return {name: (count,) for name, count in rows.items()}
        return {name: (self.columns, n) if self.transposed else (n, self.columns) for name, n in rows.items()}

    def join(self, tensors: Tensors, offset: tuple[int, ...], shape: tuple[int, ...]) -> Any:
        """Return the window at `offset` of `shape`, reading only what it shows. Padding is zero."""
        import torch

        columns = None if self.columns is None else (offset[1], offset[1] + shape[1])
        parts = [self._read(tensors, run, columns) for run in self.window(offset[0], offset[0] + shape[0])]
        known = next((part for part in parts if part is not None), torch.zeros(0))
        window = shape[1:]
        runs = list(self.window(offset[0], offset[0] + shape[0]))
        filled = [
            known.new_zeros((run.rows, *window)) if part is None else part
            for run, part in zip(runs, parts, strict=True)
        ]
        return filled[0].contiguous() if len(filled) == 1 else torch.cat(filled)

    def split(self, whole: Any) -> Iterator[tuple[str, Any]]:
        """Yield the Hugging Face tensors a whole matrix holds, in the order they first appear; padding is dropped."""
        import torch

        pieces: dict[str, list[tuple[int, Any]]] = {}
        first = 0
        for run in self.runs:
            pieces.setdefault(run.name, []).append((run.start, whole[first : first + run.rows]))
            first += run.rows
        pieces.pop(PADDING, None)
        for name, found in pieces.items():
            ordered = [piece for _, piece in sorted(found, key=lambda pair: pair[0])]
            made = ordered[0] if len(ordered) == 1 else torch.cat(ordered)
            yield name, (made.T if self.transposed else made).contiguous()

    def window(self, low: int, high: int) -> Iterator[Run]:
        """Yield the runs, or parts of runs, that rows `low` to `high` lie in."""
        first = 0
        for run in self.runs:
            start, stop = max(low - first, 0), min(high - first, run.rows)
            if start < stop:
                yield Run(run.name, run.start + start, run.start + stop)
            first += run.rows

    def _read(self, tensors: Tensors, run: Run, columns: tuple[int, int] | None) -> Any:
        if run.name == PADDING:
            return None
        rows = (run.start, run.stop)
        if columns is None:
            return tensors.part(run.name, rows)
        return tensors.part(run.name, columns, rows).T if self.transposed else tensors.part(run.name, rows, columns)
