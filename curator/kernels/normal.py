"""Normal forms of text: what texts, paragraphs and lines are compared as.

space   runs of white space (str.isspace) become one space, none at the ends
words   words lower-cased as curator.kernels.words says, one space between
"""

from __future__ import annotations

import functools

import numpy as np

from curator.kernels.bits import BLOCK, bits_above, compiled, copy_block, ones, trailing_zeros
from curator.kernels.shingles import frozen
from curator.kernels.unicode import LIMIT, SPACE, classes
from curator.kernels.words import SPACE as GAP
from curator.kernels.words import decode, fold_ascii, fold_code_points, folded, scratch_bytes

OTHER, BLANK, MAYBE = 0, 1, 2  # what a byte is: no white space, white space, or the lead of some of it
ALL, ONE, NONE = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(1), np.uint64(0)


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
def collapse(
    data: np.ndarray, at: int, stop: int, kinds: np.ndarray, spaces: np.ndarray, out: np.ndarray
) -> tuple[int, int]:
    """Write the `space` form of UTF-8 data[at:stop] to `out`; return (its bytes, its characters without spaces).

    `out` has BLOCK bytes more room than the text.
    """
    while stop > at and kinds[data[stop - 1]] == BLANK:
        stop -= 1
    written = characters = 0
    after = ONE  # nothing written yet, or a space last
    while at < stop:
        if at + BLOCK <= data.size:
            size, blanks, marks = plain(data, at, min(BLOCK, stop - at), after)
            if size:
                copy_block(data, at, out, written)
                own = ALL >> np.uint64(BLOCK - size)
                characters += size - ones((blanks | marks) & own)
                after = blanks >> np.uint64(size - 1) & ONE
                at += size
                written += size
                if at == stop or size == BLOCK:
                    continue
        kind = kinds[data[at]]
        end = at + 1
        if kind == MAYBE:
            code, end = decode(data, at, int(data[at]))
            kind = BLANK if code < LIMIT and spaces[code] else OTHER
        if kind == BLANK:
            out[written] = GAP
            written += 0 if after else 1
            after = ONE
        else:
            characters += 0 if data[at] & 0xC0 == 0x80 else 1
            after = NONE
            while at < end:
                out[written] = data[at]
                written += 1
                at += 1
        at = end
        while after and at < stop and kinds[data[at]] == BLANK:
            at += 1
    return written - (1 if after and written else 0), characters


@compiled
def plain(data: np.ndarray, at: int, size: int, after: np.uint64) -> tuple[int, np.uint64, np.uint64]:
    """Look at BLOCK bytes from data[at]: return how many of the first `size` can be copied as they are, and,
    as bits, which are spaces and which do not begin a character.

    What cannot be: a control character, a space after a space (`after`: before the first), and the leads of
    white space outside ASCII, which are C2, E1, E2 and E3.
    """
    printable = bits_above(data, at, np.uint8(31))
    blanks = printable & ~bits_above(data, at, np.uint8(32))
    odd = ~printable | (blanks & (blanks << ONE | after))
    marks = bits_above(data, at, np.uint8(0x7F))
    if marks:
        odd |= bits_above(data, at, np.uint8(0xC1)) & ~bits_above(data, at, np.uint8(0xC2))
        odd |= bits_above(data, at, np.uint8(0xE0)) & ~bits_above(data, at, np.uint8(0xE3))
        marks &= ~bits_above(data, at, np.uint8(0xBF))
    return min(size, trailing_zeros(odd)), blanks, marks


@compiled
def fold_words(data: np.ndarray, at: int, stop: int, fold: np.ndarray, out: np.ndarray) -> int:
    """Write the lower-cased words of data[at:stop] as `words.normalise` does; return the length.

    Blocks reach past `stop`, so that short texts in a long buffer cost no more than long ones.
    """
    written = 0
    while at < stop:
        size = min(BLOCK, stop - at)
        if at + BLOCK <= data.size and fold_ascii(data[at : at + BLOCK], out[written : written + BLOCK]):
            at += size
            written += size
        else:
            at, written = fold_code_points(data, at, at + size, fold, out, written)
    out[written : written + BLOCK] = GAP
    return written


@compiled
def normal_form(
    data: np.ndarray,
    at: int,
    stop: int,
    words: bool,
    fold: np.ndarray,
    kinds: np.ndarray,
    spaces: np.ndarray,
    scratch: np.ndarray,
    out: np.ndarray,
) -> tuple[int, int]:
    """Write the `words` or the `space` form of data[at:stop] to `out`; return as `collapse` does."""
    if words:
        return collapse(scratch, 0, fold_words(data, at, stop, fold, scratch), kinds, spaces, out)
    return collapse(data, at, stop, kinds, spaces, out)


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
        at, stop = offsets[row], offsets[row + 1]
        length, _ = normal_form(data, at, stop, words, fold, kinds, spaces, scratch, out)
        if words and length == 0:
            whole[used : used + stop - at] = data[at:stop]
            used += stop - at
        else:
            whole[used : used + length] = out[:length]
            used += length
        starts[row + 1] = used
    return starts
