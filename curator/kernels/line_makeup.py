"""What lines are made of: words and kinds of characters, counted in one pass."""

from __future__ import annotations

import functools

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.shingles import frozen
from curator.kernels.unicode import LIMIT
from curator.kernels.words import decode

SPACE, UPPER, DIGIT = 1, 2, 4
COUNTS = np.dtype([(name, np.int64) for name in ("words", "characters", "visible", "upper", "digits")])


@functools.cache
def kinds() -> np.ndarray:
    """Return uint8 (LIMIT,): which of str.isspace, isupper and isdigit are true of each code point, or-ed."""
    text = [chr(code) for code in range(LIMIT)]
    table = np.zeros(LIMIT, np.uint8)
    for flag, test in ((SPACE, str.isspace), (UPPER, str.isupper), (DIGIT, str.isdigit)):
        table |= np.fromiter(map(test, text), np.uint8, LIMIT) * np.uint8(flag)
    return table


def count(bounds: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Count the words and characters of the lines data[bounds[i]:bounds[i + 1]], UTF-8.

    Returns COUNTS (lines,): words as str.split returns them; characters from the first to the last that is no
    white space; visible, upper and digits, of those, the ones that are no white space, upper-case, digits.
    O(bytes), about 300 MB/s a core.
    """
    counts = np.zeros(len(bounds) - 1, COUNTS)
    _count(frozen(bounds), frozen(data), kinds(), counts)
    return counts


@compiled
def _count(bounds: np.ndarray, data: np.ndarray, kinds: np.ndarray, counts: np.ndarray) -> None:
    for line in range(bounds.size - 1):
        at, stop = bounds[line], bounds[line + 1]
        words = visible = upper = digits = gaps = gap = 0
        inside = False
        while at < stop:
            code = int(data[at])
            if code < 0x80:
                at += 1
            else:
                code, at = decode(data, at, code)
            kind = kinds[code] if code < LIMIT else np.uint8(0)
            if kind & SPACE:
                gap += 1
                inside = False
                continue
            gaps += gap if visible else 0
            gap = 0
            words += 0 if inside else 1
            inside = True
            visible += 1
            upper += (kind & UPPER) != 0
            digits += (kind & DIGIT) != 0
        row = counts[line]
        row.words, row.visible, row.characters = words, visible, visible + gaps
        row.upper, row.digits = upper, digits
