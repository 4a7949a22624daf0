"""What C4 counts in a whole text: phrases, curly brackets, sentences and long paragraphs."""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.c4_phrases import LOREM_IPSUM, count_phrase
from curator.kernels.counts import at, characters
from curator.kernels.sentences import count_sentences
from curator.kernels.shingles import frozen


@compiled
def count_c4(text: np.ndarray, classes: np.ndarray, row: Any) -> None:
    """Count "lorem ipsum" in any case, "{", and sentences (`classes` are sentence_classes())."""
    brackets = 0
    for i in range(len(text)):
        brackets += at(text, i) == ord("{")
    row.curly_brackets = brackets
    row.lorem_ipsum = count_phrase(text, LOREM_IPSUM)
    row.sentences = count_sentences(text, classes)


def long_pieces(offsets: np.ndarray, data: np.ndarray, min_characters: int) -> np.ndarray:
    """Count, for each text, the pieces between line feeds that hold at least so many code points: int64 (texts,)."""
    return _long_pieces(frozen(offsets), frozen(data), min_characters)


@compiled
def _long_pieces(offsets: np.ndarray, data: np.ndarray, min_characters: int) -> np.ndarray:
    found = np.zeros(offsets.size - 1, np.int64)
    for row in range(offsets.size - 1):
        i = offsets[row]
        for stop in range(i, offsets[row + 1] + 1):
            if stop == offsets[row + 1] or at(data, stop) == ord("\n"):
                found[row] += characters(data[i:stop]) >= min_characters
                i = stop + 1
    return found
