"""All that a run trains and validates on: opened shard sets, their split and their order, as numbered rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from millrace import tables
from pretrain.batch import Batch
from pretrain.config import Data
from pretrain.data import split
from pretrain.data.order import Order, Source
from pretrain.data.shards import Shard, ShardSet, open_sets
from pretrain.errors import SettingsError, ShardError

EMPTY = -1  # the number of a row that only fills up a batch


class Corpus:
    """Rows by number: `training` ones without end, `validation` ones from 0 to `validation_rows` - 1.

    `vocab_size` and `tokenizer_sha256` are the model's, where it has them already. Raises ShardError and
    SettingsError. Opening reads every .idx and the ids of the provenance, no token.
    """

    def __init__(self, data: Data, vocab_size: int | None = None, tokenizer_sha256: str | None = None) -> None:
        names, weights = sets_and_weights(data.shards)
        self.data = data
        self.sets = open_sets(names, vocab_size, tokenizer_sha256)
        self.vocab_size = vocab_size or next(one.vocab_size for one in self.sets if one.vocab_size)
        self.seq_length = split.check_length(data, self.sets)
        held = split.held_out(self.sets, data)
        self.rows = [
            [
                split.training_rows(shard, side, one.seq_length, self.seq_length)
                for shard, side in zip(one.shards, sides, strict=True)
            ]
            for one, sides in zip(self.sets, held, strict=True)
        ]
        self.held = split.held_rows(self.sets, held, self.seq_length, data.seed)
        self.ends = [np.cumsum([len(rows.skip) for rows in of_set]) for of_set in self.rows]
        self.train_tokens = [sum(rows.tokens for rows in of_set) for of_set in self.rows]
        for one, ends in zip(self.sets, self.ends, strict=True):
            if not ends[-1]:
                raise ShardError(f"{one.name} has no training row: all its documents are held out for validation")
        self.weights = weights or [float(tokens) for tokens in self.train_tokens]
        sources = [
            Source(int(ends[-1]), weight * int(ends[-1]) / tokens, self._shuffled(one))
            for one, ends, weight, tokens in zip(self.sets, self.ends, self.weights, self.train_tokens, strict=True)
        ]
        self.order = Order(sources, data.seed)

    def _shuffled(self, one: ShardSet) -> bool:
        """Tell whether stored order is a shuffled one: Pack's is, but not that of rows cut out of its rows."""
        return one.manifest is not None and self.seq_length >= (one.seq_length or 0)

    @property
    def tokenizer_sha256(self) -> str:
        """The checksum that the sets' manifests give it; empty where there is none."""
        return next((str(one.manifest["tokenizer_sha256"]) for one in self.sets if one.manifest), "")

    @property
    def validation_rows(self) -> int:
        """Rows of a validation loss: all held-out ones, or data.validation_rows of them."""
        rows = len(self.held.row_starts) - 1
        return min(rows, self.data.validation_rows) if self.data.validation_rows else rows

    @property
    def fill(self) -> float:
        """The share of training cells that hold a token; the rest is padding."""
        tokens = [t / int(ends[-1]) for t, ends in zip(self.train_tokens, self.ends, strict=True)]
        mean = sum(rate * each for rate, each in zip(self.order.rates, tokens, strict=True))
        return mean / self.seq_length

    @property
    def validation_fill(self) -> float:
        """The share of validation cells that hold a token."""
        stop = int(self.held.row_starts[self.validation_rows])
        return int(self.held.length[:stop].sum()) / max(self.validation_rows * self.seq_length, 1)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What defines the rows and their order, by name: a run can only go on where all of it is as it was."""
        clusters = self.data.clusters and tables.checksum(self.data.clusters)["xxh3"]
        return {
            "sets": [one.digest for one in self.sets],
            "weights": self.weights,
            "seq_length": self.seq_length,
            "layout": self.data.layout,
            "seed": self.data.seed,
            "validation_share": self.data.validation_share,
            "clusters": clusters,
        }

    def describe(self, steps: int, global_batch: int) -> list[str]:
        """Say of each set what a run of `steps` reads of it, and how much is padding."""
        epochs = self.epochs(steps * global_batch)
        total = sum(self.weights)
        lines = [
            f"{one.name}: {tokens:,} tokens in {int(ends[-1]):,} rows, weight {weight / total:.2%}, "
            f"{times:.2f} epochs in {steps:,} steps"
            for one, tokens, ends, weight, times in zip(
                self.sets, self.train_tokens, self.ends, self.weights, epochs, strict=True
            )
        ]
        held = int(self.held.length[: int(self.held.row_starts[self.validation_rows])].sum())
        lines.append(
            f"held out: {held:,} tokens in {self.validation_rows:,} rows of {self.seq_length}; "
            f"padding {1 - self.fill:.2%} of training, {1 - self.validation_fill:.2%} of validation"
            if self.validation_rows
            else f"held out: none, no validation loss; padding {1 - self.fill:.2%}"
        )
        return lines

    def epochs(self, rows: int) -> list[float]:
        """Return how often each set has been read after so many training rows."""
        taken = self.order.taken(rows)
        return [count / int(ends[-1]) for count, ends in zip(taken, self.ends, strict=True)]

    def training(self, positions: np.ndarray) -> Batch:
        """Make a micro-batch of the training rows at consecutive positions of the order."""
        which, rows = self.order[int(positions[0]) : int(positions[-1]) + 1]
        made = _Filling(len(positions), self.seq_length, positions)
        for i, row in zip(which.tolist(), rows.tolist(), strict=True):
            k, first, last, skip = self._place(i, row)
            made.fill_row(self.sets[i].shards[k], self.rows[i][k].held, first, last, skip)
        return made.batch(self)

    def validation(self, numbers: np.ndarray) -> Batch:
        """Make a micro-batch of validation rows; EMPTY gives a row without weights."""
        made = _Filling(len(numbers), self.seq_length, numbers)
        held = self.held
        for number in numbers.tolist():
            pieces = range(held.row_starts[number], held.row_starts[number + 1]) if number != EMPTY else range(0)
            made.fill_pieces(
                (self.sets[held.set[p]].shards[held.shard[p]], held.piece[p], held.begin[p], held.length[p])
                for p in pieces
            )
        return made.batch(self)

    def documents(self, positions: np.ndarray) -> list[str]:
        """Return the ids of the documents in training rows at consecutive positions, in their order, each once.

        A set without provenance gives "prefix:piece". Reads the ids of every shard that the rows are in.
        """
        places = []
        which, rows = self.order[int(positions[0]) : int(positions[-1]) + 1]
        for i, row in zip(which.tolist(), rows.tolist(), strict=True):
            k, first, last, skip = self._place(i, row)
            places += [(i, k, piece) for piece in self._inside(i, k, first, last, skip)]
        names: dict[tuple[int, int, int], str] = {}
        for i, k in sorted({place[:2] for place in places}):  # the ids of one shard at a time
            pieces = [piece for *shard, piece in places if shard == [i, k]]
            names |= {(i, k, piece): name for piece, name in zip(pieces, self._ids(i, k, pieces), strict=True)}
        return list(dict.fromkeys(names[place] for place in places))

    def _place(self, i: int, row: int) -> tuple[int, int, int, int]:
        """Return (shard, first piece, piece after the last, tokens to skip) of a row of set `i`."""
        k = int(np.searchsorted(self.ends[i], row, side="right"))
        before = int(self.ends[i][k - 1]) if k else 0
        return (k, *self.rows[i][k].bounds(row - before))

    def _inside(self, i: int, k: int, first: int, last: int, skip: int) -> list[int]:
        """Return the pieces of which a row holds a token."""
        lengths = np.where(self.rows[i][k].held[first:last], 0, self.sets[i].shards[k].lengths[first:last])
        ends = np.cumsum(lengths)
        here = (lengths > 0) & (ends > skip) & (ends - lengths < skip + self.seq_length)
        return (first + np.flatnonzero(here)).tolist()

    def _ids(self, i: int, k: int, pieces: list[int]) -> list[str]:
        one = self.sets[i]
        if one.manifest is None:
            return [f"{one.shards[k].url}:{piece}" for piece in pieces]
        return split.document_ids(one.shards[k]).take(pieces).to_pylist()  # type: ignore[no-any-return]


class _Filling:
    """A micro-batch being filled, row by row."""

    def __init__(self, rows: int, seq_length: int, numbers: np.ndarray) -> None:
        from pretrain.data import kernels

        self._kernels = kernels
        self._cells = np.empty((3, rows, seq_length), np.int64)  # tokens, labels, positions
        self._weights = np.empty((rows, seq_length), np.float32)
        self._bounds = np.zeros(rows * (seq_length + 1) + 1, np.int32)
        self._used, self._row, self._largest = 1, 0, 0
        self._numbers = numbers.astype(np.int64)

    def _next(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        tokens, labels, positions = self._cells[:, self._row]
        self._row += 1
        return tokens, labels, self._weights[self._row - 1], positions

    def fill_row(self, shard: Shard, held: np.ndarray, first: int, last: int, skip: int) -> None:
        row = self._next()
        base = (self._row - 1) * len(row[0])
        self._used, largest = self._kernels.fill_row(
            shard.tokens, shard.lengths, shard.pointers, held, first, last, skip, *row, self._bounds, self._used, base
        )
        self._largest = max(self._largest, int(largest))

    def fill_pieces(self, pieces: Any) -> None:
        row = self._next()
        at, base = 0, (self._row - 1) * len(row[0])
        for shard, piece, begin, length in pieces:
            start = int(shard.pointers[piece]) // shard.tokens.itemsize + int(begin)
            largest = self._kernels.copy_piece(shard.tokens, start, int(length), at, *row)
            self._largest = max(self._largest, int(largest))
            at += int(length)
            self._bounds[self._used] = base + at
            self._used += 1
        if at < len(row[0]):
            self._kernels.pad(at, *row)
            self._bounds[self._used] = base + len(row[0])
            self._used += 1

    def batch(self, corpus: Corpus) -> Batch:
        if self._largest >= corpus.vocab_size:
            raise ShardError(
                f"row {int(self._numbers[0])} to {int(self._numbers[-1])} of {', '.join(s.name for s in corpus.sets)} "
                f"holds a token over the vocabulary of {corpus.vocab_size}: the shards are damaged, or of another "
                "vocabulary; verify() compares them with the checksums of their manifest"
            )
        tokens, labels, positions = self._cells
        bounds = self._bounds[: self._used].copy()
        return Batch(tokens, labels, self._weights, positions, bounds, self._numbers)


def sets_and_weights(shards: Any) -> tuple[list[str], list[float] | None]:
    """Read data.shards: one folder, a list of them (weighed by their tokens: None), or {folder: weight}.

    Raises SettingsError.
    """
    if isinstance(shards, str):
        return [shards] if shards else [], None
    if isinstance(shards, Mapping):
        for name, weight in shards.items():
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not number or not 0 < weight < float("inf"):
                raise SettingsError(f"data.shards: the weight of {name} is {weight!r}; it must be a number over 0")
        return [str(name) for name in shards], [float(weight) for weight in shards.values()]
    if isinstance(shards, Sequence) and all(isinstance(name, str) for name in shards):
        twice = [name for name in dict.fromkeys(shards) if list(shards).count(name) > 1]
        if twice:
            raise SettingsError(f"data.shards names {twice[0]} twice; give weights as {{folder: weight}} instead")
        return list(shards), None
    raise SettingsError(f"data.shards is {shards!r}; it must be a folder, a list of folders, or {{folder: weight}}")
