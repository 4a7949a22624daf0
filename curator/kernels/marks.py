"""Mark the bytes of a text by their classes: a bit a byte, so that what follows looks at 64 bytes in one step."""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.bits import BLOCK, compiled, trailing_zeros
from curator.kernels.counts import ONE, at, decode, equal, letters_at, signed, total, within
from curator.kernels.unicode import ALPHA, ALPHABETIC, LINE_BREAK, PUNCTUATION, SPACE

SPACES, ALPHAS, LETTERS, PLAIN, STARTS, NEWLINES, SIGNS = range(7)
KINDS = 7


@compiled
def blocks(size: int) -> int:
    """Return the number of blocks of so many bytes; one byte at least lies behind them, which is marked as space."""
    return size // BLOCK + 1


@compiled
def below(bit: int) -> Any:
    """Return the bits below this one of 64."""
    return (ONE << np.uint64(bit)) - ONE


@compiled
def mark(text: np.ndarray, classes: np.ndarray, marks: np.ndarray) -> tuple[int, bool]:
    """Fill marks[:blocks(len(text))]. Return the number of characters, and whether the text has line breaks
    (str.splitlines) that are no newlines.

    marks  # (blocks, KINDS) uint64, bit i of a block for its i-th byte:
        SPACES    all bytes of characters that are white space; also those behind the text
        ALPHAS    first bytes of characters that str.isalpha takes for letters; LETTERS: that Unicode does
        PLAIN     first bytes of characters that are neither space nor punctuation
        STARTS    first bytes of characters
        NEWLINES  SIGNS: "#" and "…"
    """
    characters = 0
    breaks = np.uint64(0)
    spilled = np.uint64(0)  # bytes of a space that began in the block before
    for block in range(blocks(len(text))):
        i = block * BLOCK
        inside = below(len(text) - i) if len(text) - i < BLOCK else ~np.uint64(0)
        row = marks[block]
        newlines = equal(text, i, ord("\n"))
        spaces = within(text, i, 0x09, 0x0D) | within(text, i, 0x1C, 0x20) | ~inside | spilled
        letters = letters_at(text, i)
        plain = letters | within(text, i, ord("0"), ord("9"))
        starts = ~within(text, i, 0x80, 0xBF) & inside
        signs = equal(text, i, ord("#"))
        wide = within(text, i, 0xC0, 0xFF) & inside
        breaks |= within(text, i, 0x0B, 0x0D) | within(text, i, 0x1C, 0x1E)
        row[SPACES], row[ALPHAS], row[LETTERS], row[PLAIN] = spaces, letters, letters, plain
        row[STARTS], row[NEWLINES], row[SIGNS] = starts, newlines, signs
        characters += total(starts)
        spilled = np.uint64(0)
        if wide:
            spilled, broken = mark_wide(text, i, wide, classes, row)
            breaks |= broken
    return characters, breaks != 0


@compiled
def mark_wide(text: np.ndarray, i: int, wide: Any, classes: np.ndarray, row: np.ndarray) -> tuple[Any, Any]:
    """Mark the characters beyond ASCII of the block at byte i. Return the bits of a space that reach into the next
    block, and 1 if a line break is among them."""
    spilled = broken = np.uint64(0)
    while wide:
        bit = trailing_zeros(wide)
        wide &= wide - ONE
        code, after = decode(text, i + bit)
        kind = signed(at(classes, code))
        here = ONE << np.uint64(bit)
        if kind & SPACE:
            width = after - i - bit
            row[SPACES] |= below(width) << np.uint64(bit)
            if bit + width > BLOCK:
                spilled = below(bit + width - BLOCK)
        elif not kind & PUNCTUATION:
            row[PLAIN] |= here
        if kind & ALPHA:
            row[ALPHAS] |= here
        if kind & ALPHABETIC:
            row[LETTERS] |= here
        if kind & LINE_BREAK:
            broken |= ONE
        if code == 0x2026:
            row[SIGNS] |= here
    return spilled, broken


@compiled
def find_newlines(marks: np.ndarray, size: int, newlines: np.ndarray) -> int:
    """Fill newlines[:n] with the places of newlines in a text of so many bytes; return n."""
    n = 0
    for block in range(blocks(size)):
        found = marks[block, NEWLINES]
        while found:
            newlines[n] = block * BLOCK + trailing_zeros(found)
            found &= found - ONE
            n += 1
    return n
