"""Normal forms of text: what texts, paragraphs and lines are compared as.

space   runs of white space (str.isspace) become one space, none at the ends
words   words lower-cased as curator.kernels.words says, one space between
"""

from __future__ import annotations

import functools

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.shingles import frozen
from curator.kernels.unicode import LIMIT, SPACE, classes
from curator.kernels.words import decode, folded, normalise, scratch_bytes

OTHER, BLANK, MAYBE = 0, 1, 2  # what a byte is: no white space, white space, or the lead of some of it


@functools.cache
def kinds() -> np.ndarray:
    """Return uint8 (256,): the kind of each byte of UTF-8."""
    table = np.full(256, OTHER, np.uint8)
    for code in np.flatnonzero(classes() & np.uint8(SPACE)).tolist():
        table[chr(code).encode()[0]] = BLANK if code < 0x80 else MAYBE
    return table


@functools.cache
def spaces() -> np.ndarray:
    """Return bool (LIMIT,): the code points that are white space."""
    table: np.ndarray = (classes() & np.uint8(SPACE)) != 0
    return table


def room(longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scratch for texts of up to `longest` bytes: for their words, and for their normal form."""
    return np.empty(scratch_bytes(longest), np.uint8), np.empty(scratch_bytes(longest), np.uint8)


@compiled
def collapse(text: np.ndarray, kinds: np.ndarray, spaces: np.ndarray, out: np.ndarray) -> tuple[int, int]:
    """Write the `space` form of UTF-8 `text` to `out`; return (its bytes, its characters without spaces)."""
    read = written = characters = 0
    after = True  # nothing written yet, or a space last
    while read < text.size:
        byte = text[read]
        kind = kinds[byte]
        read += 1
        if kind == MAYBE:
            code, end = decode(text, read - 1, int(byte))
            kind = OTHER
            if code < LIMIT and spaces[code]:
                kind, read = BLANK, end
        blank = kind == BLANK
        out[written] = np.uint8(32) if blank else byte
        written += 0 if blank & after else 1
        characters += 0 if blank | (byte & 0xC0 == 0x80) else 1
        after = blank
    return written - (1 if after and written else 0), characters


@compiled
def normal_form(
    text: np.ndarray,
    words: bool,
    fold: np.ndarray,
    kinds: np.ndarray,
    spaces: np.ndarray,
    scratch: np.ndarray,
    out: np.ndarray,
) -> tuple[int, int]:
    """Write the `words` or the `space` form of `text` to `out`; return as `collapse` does."""
    if words:
        return collapse(scratch[: normalise(text, fold, scratch)], kinds, spaces, out)
    return collapse(text, kinds, spaces, out)


def normal_forms(offsets: np.ndarray, data: np.ndarray, words: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the normal forms of texts as (offsets int64 (rows + 1), bytes uint8).

    A text without words is its own `words` form, so that it equals no other but its copies.
    """
    scratch, out = room(int(np.diff(offsets).max(initial=0)))
    # lower case grows a text by half at most
    whole = np.empty(int(offsets[-1] - offsets[0]) * 3 // 2 + len(offsets), np.uint8)
    starts = _normal_forms(frozen(offsets), frozen(data), words, folded(), kinds(), spaces(), scratch, out, whole)
    return starts, whole[: starts[-1]]


@compiled
def _normal_forms(
    offsets: np.ndarray,
    data: np.ndarray,
    words: bool,
    fold: np.ndarray,
    kinds: np.ndarray,
    spaces: np.ndarray,
    scratch: np.ndarray,
    out: np.ndarray,
    whole: np.ndarray,
) -> np.ndarray:
    starts = np.zeros(offsets.size, np.int64)
    used = 0
    for row in range(offsets.size - 1):
        text = data[offsets[row] : offsets[row + 1]]
        length, _ = normal_form(text, words, fold, kinds, spaces, scratch, out)
        if words and length == 0:
            whole[used : used + text.size] = text
            used += text.size
        else:
            whole[used : used + length] = out[:length]
            used += length
        starts[row + 1] = used
    return starts
