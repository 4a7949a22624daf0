"""Lines and paragraphs of texts, hashed in their normal form.

A line ends with \\n, which belongs to it; other breaks (a lone \\r, U+2028) do not end one, and the \\r of
\\r\\n is white space at a line's end. A paragraph is a run of lines with text (str.isspace is false for some
character), and the blank lines after it belong to it; blank lines before the first belong to none.

The hash: that of curator.kernels.words.hash_word over the bytes of the normal form, then mix64.
"""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import BLOCK, bits_above, compiled, mix64, trailing_zeros
from curator.kernels.normal import BLANK, MAYBE, kinds, normal_form, room, spaces
from curator.kernels.shingles import frozen
from curator.kernels.unicode import LIMIT
from curator.kernels.words import decode, folded, hash_word

NEW_LINE = np.uint8(10)
REACH = (1 << 32) - 1  # bytes of a text that are looked at: offsets in it are uint32


def units(
    offsets: np.ndarray, data: np.ndarray, paragraphs: bool, words: bool, min_characters: int, reach: int = REACH
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the lines, or paragraphs, of texts that hold at least `min_characters` >= 1 characters.

    offsets: int64 (rows + 1) into data, UTF-8 bytes. Characters are those of the normal form, spaces not
    counted. Units that do not end within the first `reach` bytes of a text are left out. Returns first:
    int64 (rows + 1), the units of each text; hashes uint64; and starts, stops uint32, bytes of the text.
    Cost: about 400 MB/s a core for the `space` form, 200 for `words`; memory is the result (16 bytes a line
    of any length while it runs), and 3 bytes a byte of the longest text.
    """
    most = int(np.count_nonzero(data[offsets[0] : offsets[-1]] == NEW_LINE)) + len(offsets)
    hashes, starts, stops = np.empty(most, np.uint64), np.empty(most, np.uint32), np.empty(most, np.uint32)
    scratch, out = room(int(np.diff(offsets).max(initial=0)))
    first = _units(
        frozen(offsets), frozen(data), paragraphs, words, min_characters, reach, folded(), kinds(), spaces(),
        scratch, out, hashes, starts, stops,
    )  # fmt: skip
    return first, hashes[: first[-1]], starts[: first[-1]], stops[: first[-1]]


@compiled
def _units(
    offsets: np.ndarray,
    data: np.ndarray,
    paragraphs: bool,
    words: bool,
    min_characters: int,
    reach: int,
    fold: np.ndarray,
    kinds: np.ndarray,
    spaces: np.ndarray,
    scratch: np.ndarray,
    out: np.ndarray,
    hashes: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
) -> np.ndarray:
    first = np.zeros(offsets.size, np.int64)
    found = 0
    for row in range(offsets.size - 1):
        begin, end = offsets[row], offsets[row + 1]
        at = begin
        while at < end:
            stop = end_of_line(data, at, end)
            if paragraphs:
                at, stop = paragraph(data, at, stop, end, kinds, spaces)
            if stop - begin > reach:
                break
            length, characters = normal_form(data, at, stop, words, fold, kinds, spaces, scratch, out)
            if characters >= min_characters:
                hashes[found] = mix64(hash_word(out, 0, length))
                starts[found] = at - begin
                stops[found] = stop - begin
                found += 1
            at = stop
        first[row + 1] = found
    return first


def bounds(offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Return where lines begin and end, int64 (lines + 1): line i is data[bounds[i]:bounds[i + 1]].

    offsets: int64 (texts + 1) into data. Every text's begin is among them, so the lines of a text are a run;
    an empty text has none. O(bytes), about 2.5 GB/s a core.
    """
    most = int(np.count_nonzero(data[offsets[0] : offsets[-1]] == NEW_LINE)) + len(offsets)
    out = np.empty(most, np.int64)
    return out[: _bounds(frozen(offsets), frozen(data), out)]


@compiled
def _bounds(offsets: np.ndarray, data: np.ndarray, out: np.ndarray) -> int:
    out[0] = offsets[0]
    found = 1
    for row in range(offsets.size - 1):
        at, end = offsets[row], offsets[row + 1]
        while at < end:
            at = end_of_line(data, at, end)
            out[found] = at
            found += 1
    return found


@compiled
def end_of_line(data: np.ndarray, at: int, end: int) -> int:
    """Return where the line at data[at], in a text that ends at `end`, ends, its break included."""
    while at < end and at + BLOCK <= data.size:
        breaks = bits_above(data, at, np.uint8(9)) & ~bits_above(data, at, NEW_LINE)
        if breaks:
            stop: int = at + trailing_zeros(breaks) + 1
            return min(stop, end)
        at += BLOCK
    while at < end and data[at] != NEW_LINE:
        at += 1
    return min(at + 1, end)


@compiled
def paragraph(data: np.ndarray, at: int, stop: int, end: int, kinds: np.ndarray, spaces: np.ndarray) -> tuple[int, int]:
    """Return (start, stop) of the first paragraph, in a text that ends at `end`, from the line data[at:stop] on."""
    while stop < end and is_blank(data, at, stop, kinds, spaces):
        at, stop = stop, end_of_line(data, stop, end)
    over = False  # in the blank lines after it
    while stop < end:
        following = end_of_line(data, stop, end)
        blank = is_blank(data, stop, following, kinds, spaces)
        if over and not blank:
            break
        over = blank
        stop = following
    return at, stop


@compiled
def is_blank(data: np.ndarray, at: int, stop: int, kinds: np.ndarray, spaces: np.ndarray) -> bool:
    """Tell whether data[at:stop] is white space alone."""
    while at < stop:
        kind = kinds[data[at]]
        if kind == BLANK:
            at += 1
        elif kind == MAYBE:
            code, at = decode(data, at, int(data[at]))
            if code >= LIMIT or not spaces[code]:
                return False
        else:
            return False
    return True


@compiled
def firsts(first: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Return for each unit the first one of its text with the same hash, int64 (units,).

    first: int64 (rows + 1), the units of each text; hashes: uint64 (units,). O(units).
    """
    most = 1
    for row in range(first.size - 1):
        while most < 2 * (first[row + 1] - first[row]):
            most *= 2
    table = np.empty(most, np.int64)
    found = np.empty(hashes.size, np.int64)
    for row in range(first.size - 1):
        size = 1
        while size < 2 * (first[row + 1] - first[row]):
            size *= 2
        table[:size] = -1
        mask = np.uint64(size - 1)
        for unit in range(first[row], first[row + 1]):
            slot = np.int64(hashes[unit] & mask)
            while table[slot] >= 0 and hashes[table[slot]] != hashes[unit]:
                slot = np.int64((slot + 1) & np.int64(mask))
            if table[slot] < 0:
                table[slot] = unit
            found[unit] = table[slot]
    return found
