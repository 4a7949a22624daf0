"""Examples laid out as a micro-batch: a sequence a row, or several packed into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from align.batch import Example, TokenBatch, TokenSequence

EMPTY = Example("", (TokenSequence(np.zeros(2, np.int64), np.zeros(2, bool)),))


def padded(examples: Sequence[Example], indexes: Sequence[int] | None = None, multiple: int = 1) -> TokenBatch:
    """Lay sequences out one a row. `indexes`: their examples' places in the global batch; `multiple`: of cells."""
    sequences = [one for example in examples for one in example.sequences]
    width = _up(max(len(one.tokens) for one in sequences), multiple)
    return _batch(examples, indexes, [[number] for number in range(len(sequences))], width)


def packed(
    examples: Sequence[Example], row_tokens: int, indexes: Sequence[int] | None = None, multiple: int = 1
) -> TokenBatch:
    """Lay sequences out in as few rows of `row_tokens` cells as first-fit decreasing finds.

    A longer sequence makes all rows as long as it is. Rows end with the fullest one.
    """
    lengths = [len(one.tokens) for example in examples for one in example.sequences]
    room = max(row_tokens, *lengths)
    rows: list[list[int]] = []
    filled: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        row = next((r for r, used in enumerate(filled) if used + lengths[number] <= room), len(rows))
        if row == len(rows):
            rows.append([])
            filled.append(0)
        rows[row].append(number)
        filled[row] += lengths[number]
    return _batch(examples, indexes, rows, _up(max(filled), multiple))


def empty(like: Example | None = None, multiple: int = 1) -> TokenBatch:
    """Return a micro-batch in which nothing is learnt, with the fields of an example, all zero.

    A data rank with fewer micro-batches than the others takes part in their collectives with it.
    """
    if like is None:
        return padded([EMPTY], [-1], multiple)
    short = tuple(
        TokenSequence(
            np.zeros(2, np.int64), np.zeros(2, bool),
            {name: np.zeros_like(np.asarray(value)[:1]) for name, value in one.token_fields.items()},
        )
        for one in like.sequences
    )  # fmt: skip
    return padded([Example("", short, {k: _nothing(v) for k, v in like.fields.items()})], [-1], multiple)


def _batch(examples: Sequence[Example], indexes: Sequence[int] | None, rows: list[list[int]], width: int) -> TokenBatch:
    """Fill rows of `width` cells; rows[r] lists the sequences that stand in row r, one after another."""
    sequences = [one for example in examples for one in example.sequences]
    owners = [number for number, example in enumerate(examples) for _ in example.sequences]
    count, longest = len(sequences), max(len(one.tokens) for one in sequences) - 1
    tokens, positions = np.zeros((2, len(rows), width), np.int64)
    starts, bounds = np.zeros(count, np.int64), [0]
    for row, members in enumerate(rows):
        cell = 0
        for number in members:
            length = len(sequences[number].tokens)
            tokens[row, cell : cell + length] = sequences[number].tokens
            positions[row, cell : cell + length] = np.arange(length)
            starts[number] = row * width + cell
            cell += length
            bounds.append(row * width + cell)
        positions[row, cell:] = np.arange(width - cell)
        if cell < width:
            bounds.append((row + 1) * width)
    labels, mask = np.zeros((count, longest), np.int64), np.zeros((count, longest), bool)
    for number, one in enumerate(sequences):
        labels[number, : len(one.tokens) - 1] = one.tokens[1:]
        mask[number, : len(one.tokens) - 1] = one.mask[1:]
    places = range(len(examples)) if indexes is None else indexes
    return TokenBatch(
        torch.from_numpy(tokens), torch.from_numpy(positions), torch.tensor(bounds, dtype=torch.int32),
        torch.from_numpy(starts), torch.tensor([len(one.tokens) for one in sequences]), torch.from_numpy(labels),
        torch.from_numpy(mask), torch.tensor([places[owner] for owner in owners]),
        _token_fields(sequences, longest) | _fields(examples, owners),
    )  # fmt: skip


def _token_fields(sequences: Sequence[TokenSequence], longest: int) -> dict[str, torch.Tensor]:
    made = {}
    for name, first in sequences[0].token_fields.items():
        kind = np.asarray(first)
        whole = np.zeros((len(sequences), longest, *kind.shape[1:]), _type(kind))
        for number, one in enumerate(sequences):
            whole[number, : len(one.tokens) - 1] = one.token_fields[name]
        made[name] = torch.from_numpy(whole)
    return made


def _fields(examples: Sequence[Example], owners: Sequence[int]) -> dict[str, torch.Tensor]:
    made = {}
    for name, first in examples[0].fields.items():
        if isinstance(first, tuple):
            values = np.array([value for example in examples for value in _each(example.fields[name])])
        else:
            values = np.stack([np.asarray(examples[owner].fields[name]) for owner in owners])
        made[name] = torch.from_numpy(values.astype(_type(values)))
    return made


def _each(value: Any) -> tuple[float, ...]:
    """Return one number a sequence. Raises TypeError where another example has one for all."""
    if not isinstance(value, tuple):
        raise TypeError(f"a field is {value!r}, and of the first example one number a sequence")
    return value


def _nothing(value: Any) -> Any:
    return tuple(0.0 for _ in value) if isinstance(value, tuple) else np.zeros_like(np.asarray(value))


def _type(values: np.ndarray) -> type:
    return np.float32 if np.issubdtype(values.dtype, np.floating) else np.int64


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
