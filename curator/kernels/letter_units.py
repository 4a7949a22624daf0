"""Words for scripts that put no space between them: each letter is a unit of its own.

Those are Chinese ideographs, Japanese kana, Thai, Lao, Khmer and Burmese. A unit is one letter with what follows it
up to the next letter or digit, so vowel signs, tone marks and punctuation belong to the letter before; letters and
digits of other scripts form words as everywhere. "iPhone手机。Ok" is four: "iPhone", "手", "机。", "Ok".
"""

import functools

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.counts import at, char_classes, decode, signed
from curator.kernels.unicode import LIMIT, in_ranges

SCRIPTS = (
    "e00-eff 1000-109f a9e0-a9ff aa60-aa7f 1780-17ff "  # Thai and Lao, Burmese and its extensions, Khmer
    "3005-3007 3041-309f 30a1-30ff 31f0-31ff ff66-ff9d "  # kana and iteration marks
    "3400-4dbf 4e00-9fff f900-faff 20000-323af"  # ideographs
)
UNIT, OTHER, GAP = 1, 2, 3  # a letter of these scripts; any other letter or digit; white space


@functools.cache
def kinds() -> np.ndarray:
    """Return uint8, UNIT, OTHER, GAP or 0, for every number that `decode` returns."""
    table = np.zeros(len(char_classes()), np.uint8)
    scripts = in_ranges(SCRIPTS)
    for code in range(LIMIT):
        letter = chr(code)
        if letter.isalnum():
            table[code] = UNIT if letter in scripts and letter.isalpha() else OTHER
        elif letter.isspace():
            table[code] = GAP
    table.flags.writeable = False
    return table


def apart(offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (offsets, data) of the texts with a space between any two units, and none taken away.

    offsets  # (texts + 1) int64
    data     # uint8: UTF-8
    The arrays given are returned where no text has such letters.
    """
    spaces = _count_spaces(offsets, data, kinds())
    if not spaces.any():
        return offsets, data
    starts = np.append(0, np.cumsum(np.diff(offsets) + spaces))
    written = np.empty(starts[-1], np.uint8)
    _put_spaces(offsets, data, kinds(), starts, written)
    return starts, written


@compiled
def _parts(before: int, kind: int) -> bool:
    """Tell whether a unit ends before a character, by its kind and that of the last that had one."""
    return kind == UNIT or (kind == OTHER and before == UNIT)


@compiled
def _last(before: int, kind: int) -> int:
    """Return the kind of the last letter or digit of the same part between white space, 0 if there is none."""
    return 0 if kind == GAP else kind if kind else before


@compiled
def _count_spaces(offsets: np.ndarray, data: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    spaces = np.zeros(len(offsets) - 1, np.int64)
    for t in range(len(spaces)):
        text = data[offsets[t] : offsets[t + 1]]
        i = before = total = 0
        while i < len(text):
            code, i = decode(text, i)
            kind = signed(at(kinds, code))
            total += _parts(before, kind)
            before = _last(before, kind)
        spaces[t] = total
    return spaces


@compiled
def _put_spaces(
    offsets: np.ndarray, data: np.ndarray, kinds: np.ndarray, starts: np.ndarray, written: np.ndarray
) -> None:
    for t in range(len(offsets) - 1):
        text = data[offsets[t] : offsets[t + 1]]
        i = before = 0
        n = starts[t]
        while i < len(text):
            code, after = decode(text, i)
            kind = signed(at(kinds, code))
            if _parts(before, kind):
                written[n] = ord(" ")
                n += 1
            before = _last(before, kind)
            while i < after:
                written[n] = at(text, i)
                n += 1
                i += 1
