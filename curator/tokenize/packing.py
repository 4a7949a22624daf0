"""Which piece of which document goes where: best-fit packing, by numbers alone.

"Fewer Truncations Improve Language Modeling" (Ding et al. 2024, arXiv:2404.10830), section 3: documents
longer than a row are cut into full rows; what is left of each, and every shorter document, goes whole into
the fullest row that still has room, longest first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curator.kernels.best_fit import best_fit


@dataclass(frozen=True)
class Packing:
    """Pieces in the order they are written; `row_starts` cuts them into rows.

    document   int64 (pieces,)    index of the document
    start      int64 (pieces,)    first token of the piece in its document
    length     int64 (pieces,)    tokens of the piece
    row_starts int64 (rows + 1,)  first piece of each row
    """

    document: np.ndarray
    start: np.ndarray
    length: np.ndarray
    row_starts: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.row_starts) - 1


def pack(lengths: np.ndarray, keys: np.ndarray, seq_length: int) -> Packing:
    """Pack documents of `lengths` tokens (int64) into rows of at most `seq_length`.

    `keys` (uint64, one a document) shuffle: they order documents of equal length, and the finished rows.
    The result depends on the pairs (key, length) alone, not on the order they come in, as long as keys
    are distinct. O(n log n + n x log seq_length); 60 bytes a document.
    """
    document, start, length = cut_to_pieces(lengths, seq_length)
    order = np.lexsort((start, keys[document], -length))  # longest first
    row = best_fit(length[order], seq_length)
    piece_row = np.empty(len(row), np.int64)
    piece_row[order] = row
    rows = int(row.max()) + 1 if len(row) else 0
    row_key = np.zeros(rows, np.uint64)
    row_key[row[::-1]] = mixed(keys[document], start)[order][::-1]  # of the row's first, longest piece
    place = np.empty(rows, np.int64)
    place[np.argsort(row_key, kind="stable")] = np.arange(rows)
    final = np.lexsort((start, keys[document], -length, place[piece_row]))
    counts = np.bincount(place[piece_row], minlength=rows) if rows else np.zeros(0, np.int64)
    row_starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return Packing(document[final], start[final], length[final], row_starts)


def cut_to_pieces(lengths: np.ndarray, seq_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (document, start, length) of pieces: full rows first, then what is left. Empty documents give none."""
    counts = -(-lengths // seq_length)
    document = np.repeat(np.arange(len(lengths)), counts)
    within = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)
    start = within * seq_length
    return document, start, np.minimum(lengths[document] - start, seq_length)


def mixed(keys: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Mix a piece's start into its document's key, so that the rows of a long document are spread out."""
    value = keys ^ (start.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    value = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    mixed_bits: np.ndarray = value ^ (value >> np.uint64(32))
    return mixed_bits
