"""Spans found line by line: a look at all lines by vectors, and a close look at the few where something was found."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.edit import Spans
from curator.kernels.arrow import flatten
from curator.stage import Column

Found = tuple[int, int, Any]  # a span of a line, in characters, and what it is


@dataclass(frozen=True)
class Lines:
    """The lines of a batch's texts, or of some of them, each with its line break (\n). A missing text has none."""

    offsets: np.ndarray  # int64 (texts + 1): text i is data[offsets[i]:offsets[i + 1]]
    data: np.ndarray  # uint8
    bounds: np.ndarray  # int64 (lines + 1): line i is data[bounds[i]:bounds[i + 1]]
    among: np.ndarray  # int64 (texts of the batch): 1 where a text is among these, else 0

    @staticmethod
    def of(text: Column, pattern: str = "") -> Lines:
        """Return the lines of all texts, or of those in which an RE2 pattern is found; ^ matches at lines."""
        from curator.kernels.lines import bounds

        array = frames.column_to_arrow(text).cast(pa.large_string())
        among = np.ones(len(array), bool)
        if pattern:
            found = pc.match_substring_regex(array, f"(?m){pattern}").fill_null(False)
            among = found.to_numpy(zero_copy_only=False)
            array = array.filter(found)
        offsets, data = flatten(array)
        return Lines(offsets, data, bounds(offsets, data), among.astype(np.int64))

    @property
    def first(self) -> np.ndarray:
        """Return the lines of each text: int64 (texts + 1), those of text i are first[i] to first[i + 1]."""
        return np.searchsorted(self.bounds, self.offsets)

    def strings(self, rows: np.ndarray | None = None) -> pa.Array:
        """Return the lines, or those of `rows`, as an Arrow array."""
        whole = pa.LargeStringArray.from_buffers(
            len(self.bounds) - 1, pa.py_buffer(self.bounds), pa.py_buffer(self.data)
        )
        return whole if rows is None else whole.take(pa.array(rows))

    def matching(self, pattern: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the rows (among `rows`, ascending) of the lines in which an RE2 pattern is found."""
        hits = pc.match_substring_regex(self.strings(rows), pattern).to_numpy(zero_copy_only=False)
        return np.flatnonzero(hits) if rows is None else rows[hits]

    def whole(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the lines `rows` as spans of the data."""
        return self.bounds[:-1][rows], self.bounds[1:][rows]

    def search(
        self, rows: np.ndarray, find: Callable[[str], Iterable[Found]]
    ) -> tuple[np.ndarray, np.ndarray, list[Any]]:
        """Ask `find` for the spans of each line of `rows`, ascending and apart.

        Returns (starts, stops, what they are): bytes of the data.
        """
        starts, stops = array("q"), array("q")  # a line of 50 MB may hold millions
        what: list[Any] = []
        for begin, line in zip(self.bounds[rows].tolist(), self.strings(rows).to_pylist()):
            for start, stop, kind in in_bytes(line, find(line)):
                starts.append(begin + start)
                stops.append(begin + stop)
                what.append(kind)
        return np.frombuffer(starts, np.int64), np.frombuffer(stops, np.int64), what

    def spans(self, starts: np.ndarray, stops: np.ndarray, **evidence: Any) -> Spans:
        """Return spans of the data, in any order, as spans of the batch's texts."""
        order = np.argsort(starts, kind="stable")
        starts, stops = starts[order], stops[order]
        first = np.searchsorted(starts, self.offsets)
        begins = np.repeat(self.offsets[:-1], np.diff(first))
        arrays = {name: pa.array(values).take(pa.array(order)) for name, values in evidence.items()}
        return Spans(first[np.append(0, np.cumsum(self.among))], starts - begins, stops - begins, arrays)


def in_bytes(line: str, found: Iterable[Found]) -> Iterator[Found]:
    """Yield ascending spans of characters as spans of UTF-8 bytes."""
    at = byte = 0
    ascii = line.isascii()
    for start, stop, kind in found:
        if ascii:
            yield start, stop, kind
            continue
        first = byte + len(line[at:start].encode())
        byte = first + len(line[start:stop].encode())
        at = stop
        yield first, byte, kind
