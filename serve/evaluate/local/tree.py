"""Token sequences as one row in which what they begin with alike stands once.

Answers of a question share the question, questions of a task share its examples: sorted, each sequence begins like
the one before it up to some token, and only what follows is new. A row is cut into calls of attention, each with the
keys its tokens may see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

BLOCK = 128  # new tokens of neighbouring sequences that one call of attention takes together, masked

Span = tuple[int, int]  # from, to


@dataclass
class Call:
    """Attention of the row's tokens from start to stop."""

    start: int
    stop: int
    segments: list[tuple[int, int, tuple[Span, ...]]] = field(default_factory=list)  # start, stop, spans seen before

    def keys(self) -> tuple[list[Span], np.ndarray | None]:
        """Return the spans of the row that are looked at, in order, and which of them each token sees.

        The mask is bool (stop - start, keys); None where the call is one sequence from its first token: causal.
        """
        if len(self.segments) == 1 and not self.segments[0][2]:
            return [(self.start, self.stop)], None
        outside = _union(span for _, _, seen in self.segments for span in seen if span[0] < self.start)
        outside = [(low, min(high, self.start)) for low, high in outside]
        spans = [*outside, (self.start, self.stop)]
        column = np.concatenate([np.arange(*span) for span in spans])
        mask = np.zeros((self.stop - self.start, len(column)), bool)
        for start, stop, seen in self.segments:
            rows = slice(start - self.start, stop - self.start)
            for low, high in seen:
                mask[rows, np.searchsorted(column, low) : np.searchsorted(column, high - 1) + 1] = True
            own = slice(len(column) - (self.stop - start), len(column) - (self.stop - stop))
            mask[rows, own] = np.tri(stop - start, dtype=bool)
        return spans, mask


@dataclass(frozen=True)
class Row:
    """Sequences in one row."""

    tokens: np.ndarray  # int64 (t,)
    positions: np.ndarray  # int64 (t,): of each token in its sequences
    calls: list[Call]
    numbers: list[int]  # which sequences stand in it
    places: list[np.ndarray]  # int64 (wanted,): for each of them, where its last wanted tokens stand


def rows(sequences: Sequence[np.ndarray], wanted: Sequence[int], most_tokens: int, most_wanted: int) -> Iterator[Row]:
    """Lay sequences, int64 (length,) each, out in rows of at most `most_tokens` tokens; one may be longer.

    wanted: how many of its last tokens a sequence is asked about; of a row at most `most_wanted` in all, but for the
    first sequence. Sorting costs O(n log n) comparisons of bytes, the rest is linear in the tokens.
    """
    keys = [np.asarray(one, np.int64).astype(">u4").tobytes() for one in sequences]
    order = sorted(range(len(sequences)), key=keys.__getitem__)
    row = _Growing()
    for number in order:
        sequence = sequences[number]
        shared = row.shared(sequence)
        if row.numbers and (
            row.length + len(sequence) - shared > most_tokens or row.asked + wanted[number] > most_wanted
        ):
            yield row.done()
            row, shared = _Growing(), 0
        row.add(number, sequence, shared, wanted[number])
    if row.numbers:
        yield row.done()


class _Growing:
    def __init__(self) -> None:
        self.length = self.asked = 0
        self.last = np.zeros(0, np.int64)  # the sequence added last, and where its tokens stand
        self.path: list[Span] = []
        self.tokens: list[np.ndarray] = []
        self.positions: list[np.ndarray] = []
        self.calls: list[Call] = []
        self.numbers: list[int] = []
        self.places: list[np.ndarray] = []

    def shared(self, sequence: np.ndarray) -> int:
        """Return how many first tokens a sequence has in common with the last one."""
        least = min(len(sequence), len(self.last))
        differ = np.flatnonzero(sequence[:least] != self.last[:least])
        return int(differ[0]) if len(differ) else least

    def add(self, number: int, sequence: np.ndarray, shared: int, wanted: int) -> None:
        seen = _first(self.path, shared)
        start, stop = self.length, self.length + len(sequence) - shared
        if stop > start:
            self.tokens.append(sequence[shared:])
            self.positions.append(np.arange(shared, len(sequence)))
            if not self.calls or stop - self.calls[-1].start > BLOCK:
                self.calls.append(Call(start, stop))
            self.calls[-1].stop = stop
            self.calls[-1].segments.append((start, stop, tuple(seen)))
        self.path = _union([*seen, (start, stop)]) if stop > start else seen
        self.last, self.length, self.asked = sequence, stop, self.asked + wanted
        self.numbers.append(number)
        self.places.append(_last(self.path, wanted))

    def done(self) -> Row:
        return Row(np.concatenate(self.tokens), np.concatenate(self.positions), self.calls, self.numbers, self.places)


def _union(spans: Iterator[Span] | Sequence[Span]) -> list[Span]:
    """Return spans in order, those that touch as one. [(0, 3), (3, 5), (9, 9)] -> [(0, 5)]"""
    made: list[Span] = []
    for low, high in sorted(spans):
        if made and low <= made[-1][1]:
            made[-1] = (made[-1][0], max(high, made[-1][1]))
        elif high > low:
            made.append((low, high))
    return made


def _first(path: Sequence[Span], count: int) -> list[Span]:
    """Return the spans that hold the first `count` tokens of a path."""
    made = []
    for low, high in path:
        if count <= 0:
            break
        made.append((low, min(high, low + count)))
        count -= high - low
    return made


def _last(path: Sequence[Span], count: int) -> np.ndarray:
    return np.concatenate([np.arange(*span) for span in path] or [np.zeros(0, np.int64)])[-count:]
