"""The words of datatrove 0.10's default tokeniser for English (spaCy's blank "en"), at the speed of a table.

spaCy's tokens of a text are those of its white-space chunks, but for one rule: special cases such as ":)" are
looked for in the sequence of tokens, across a single space too. A match there changes nothing by itself, yet it
forbids shorter matches that overlap it. So each chunk is tokenised once a process, by spaCy's rules in compiled
loops; a table keeps the result; and where chunks may form such a match they are tokenised once more, together.

Three differences remain. A chunk of more than LONGEST code points is cut there. A run of chunks that may form such
matches, each with the next, is cut where it would exceed RUN bytes. And datatrove drops "IS_ALPHA" from texts, from
the second one on that a process sees: a workaround for a fault in spaCy. It is a word here.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator

import numpy as np

from curator.kernels.affixes import NO, YES
from curator.kernels.chunk_tokens import show_chunks, show_runs
from curator.kernels.chunks import (
    ENTRY,
    PADDING,
    cut_chunks,
    entangled,
    find_entries,
    put_entries,
    write_shown,
)
from curator.kernels.counts import char_classes
from curator.kernels.repeats import table_size
from curator.kernels.spacy_rules import Tokeniser, read_tokeniser

LONGEST = 4096  # code points
RUN = 1 << 16  # bytes
MOST_CHUNKS = 2_000_000  # known ones: beyond, the table is emptied before the next texts; about 200 MB


def separated(offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (offsets, data) of the texts that hold the same words, with a space after each.

    offsets  # (texts + 1) int64
    data     # uint8: UTF-8
    The result does not depend on what the process has seen before. Raises ModelError without spaCy.
    """
    return _known_chunks().separated(offsets, data)


@functools.cache
def _known_chunks() -> KnownChunks:
    return KnownChunks(read_tokeniser())


class KnownChunks:
    """A table of chunks and their tokens, which grows by what it meets."""

    def __init__(self, tokeniser: Tokeniser, most: int = MOST_CHUNKS):
        self._tokeniser, self._most = tokeniser, most
        self._lock = threading.Lock()  # the table does not take two threads
        self._empty()

    def _empty(self) -> None:
        self._entries, self._arena = np.zeros(1 << 12, ENTRY), np.zeros(1 << 16, np.uint8)
        self._table = np.zeros(table_size(len(self._entries)), np.uint32)
        self._filled = np.array([1, 0])  # entry 0 shows nothing

    def separated(self, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the texts with their words apart; see the function of this name."""
        first, begins, lengths = cut_chunks(offsets, data, char_classes(), LONGEST)
        with self._lock, self._whole():
            if self._filled[0] > self._most:
                self._empty()
            ids = self._find(data, begins, lengths)
            pairs = self._tokeniser.sequences.pairs
            runs = entangled(data, first, begins, lengths, ids, self._entries, pairs, RUN)
            if len(runs):
                self._show_runs(runs, data, begins, lengths, ids)
            entries, arena = self._entries, self._arena  # what they hold so far stays as it is
        return write_shown(first, ids, entries, arena)

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """Empty the table where work on it is broken off: it would hold chunks without their tokens."""
        try:
            yield
        except BaseException:
            self._empty()
            raise

    def _find(self, data: np.ndarray, begins: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the entry of each chunk; chunks not seen before are tokenised."""
        ids, known, done = np.empty(len(begins), np.uint32), int(self._filled[0]), 0
        while True:
            tables = self._table, self._entries, self._arena, self._filled
            done = find_entries(data, begins, lengths, done, *tables, ids)
            if done == len(begins):
                break
            self._reserve(1, int(lengths[done]))
        self._show(known)
        return ids

    def _reserve(self, entries: int, size: int) -> None:
        """Make room for so many more entries and bytes."""
        count, used = self._filled
        if count + entries > len(self._entries):
            self._entries = np.concatenate([self._entries, np.zeros(len(self._entries) + entries, ENTRY)])
            self._table = np.zeros(table_size(len(self._entries)), np.uint32)
            put_entries(self._table, self._entries, count)
        if used + size + PADDING > len(self._arena):
            self._arena = np.concatenate([self._arena, np.zeros(len(self._arena) + size, np.uint8)])

    def _show(self, known: int) -> None:
        """Write down what the entries from number `known` on show."""
        numbers = np.arange(known, self._filled[0])
        self._reserve(0, 2 * int(self._entries["key_bytes"][numbers].sum()))
        tables, filled = (self._entries, self._arena), (self._filled, LONGEST)
        left, starts, stops = show_chunks(*self._tokeniser[:2], numbers, *tables, *filled)
        for number, start, stop in zip(left, starts, stops, strict=True):
            is_url = self._tokeniser.is_url(self._arena[start:stop].tobytes().decode())
            self._entries[number]["url"] = YES if is_url else NO
        show_chunks(*self._tokeniser[:2], left, *tables, *filled)

    def _show_runs(
        self, runs: np.ndarray, data: np.ndarray, begins: np.ndarray, lengths: np.ndarray, ids: np.ndarray
    ) -> None:
        """Tokenise the chunks of each run as one text."""
        starts, lasts = runs[:, 0], runs[:, 1] - 1
        self._reserve(len(runs), 2 * int((begins[lasts] + lengths[lasts] - begins[starts]).sum()))
        tables = self._entries, self._arena, self._filled
        show_runs(*self._tokeniser[:2], data, runs, begins, lengths, ids, *tables, RUN)
