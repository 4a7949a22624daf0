"""Count characters, symbols, words and lines: compiled loops over UTF-8 bytes.

A `text` here is the uint8 array of one document, `classes` the table of `char_classes`, a `row` the
document's record of counts. No function reads a byte outside its text, whole or truncated.
"""

import functools
from typing import Any

import numpy as np

from curator.kernels import unicode
from curator.kernels.bits import compiled
from curator.kernels.unicode import ALPHA, LINE_BREAK, PUNCTUATION, SPACE

BASE = np.uint64(0x9E3779B97F4A7C15)  # of the hashes; odd, else the start of a long text would drop out
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
STOP_CODES = np.array([int.from_bytes(b"\1" + word.encode(), "big") for word in STOP_WORDS])
LONGEST_STOP_WORD = max(map(len, STOP_WORDS))


@functools.cache
def char_classes() -> np.ndarray:
    """Return unicode.classes(), longer: for every number that `decode` returns, whatever the bytes."""
    table = np.zeros(1 << 21, np.uint8)
    table[: unicode.LIMIT] = unicode.classes()
    return table


@compiled
def at(array: np.ndarray, i: int) -> Any:
    """Return array[i] for i >= 0, which spares numba's test for a negative index."""
    return array[np.uintp(i)]


@compiled
def signed(number: Any) -> int:
    """Return an integer as int64: numba turns int64 and uint64 together into a float."""
    return np.int64(number)  # type: ignore[return-value]


@compiled
def decode(text: np.ndarray, i: int) -> tuple[int, int]:
    """Return the code point that starts at byte i, and where the next one starts."""
    lead = signed(at(text, i))
    if lead < 0x80:
        return lead, i + 1
    return decode_wide(text, i, lead, len(text) - i)


@compiled
def decode_wide(text: np.ndarray, i: int, lead: int, left: int) -> tuple[int, int]:
    """Do so for a code point of several bytes; `lead` is the first of the `left` ones."""
    if lead < 0xE0 and left > 1:
        return (lead & 31) << 6 | tail(text, i + 1), i + 2
    if lead < 0xF0 and left > 2:
        return (lead & 15) << 12 | tail(text, i + 1) << 6 | tail(text, i + 2), i + 3
    if left > 3:
        high = (lead & 7) << 18 | tail(text, i + 1) << 12
        return high | tail(text, i + 2) << 6 | tail(text, i + 3), i + 4
    return lead, len(text)  # truncated


@compiled
def tail(text: np.ndarray, i: int) -> int:
    """Return the six bits that byte i adds to its code point."""
    return signed(at(text, i)) & 63


@compiled
def characters(text: np.ndarray) -> int:
    """Count code points: the bytes that continue none."""
    total = np.uint32(0)
    for i in range(len(text)):
        total += np.uint32(np.int8(text[i]) >= np.int8(-64))  # continuing: 0b10xxxxxx
    return signed(total)


@compiled
def skip_spaces(text: np.ndarray, classes: np.ndarray, i: int) -> int:
    """Return where the first character at or after byte i starts that is no space."""
    while i < len(text):
        code, after = decode(text, i)
        if not at(classes, code) & SPACE:
            break
        i = after
    return i


@compiled
def trim_spaces(text: np.ndarray, classes: np.ndarray, start: int, stop: int) -> int:
    """Return where text[start:stop] ends without its trailing spaces."""
    while stop > start:
        i = stop - 1
        while i > start and text[i] & 0xC0 == 0x80:
            i -= 1
        if not at(classes, decode(text, i)[0]) & SPACE:
            break
        stop = i
    return stop


@compiled
def count_symbols(text: np.ndarray, row: Any) -> None:
    """Count "#", and "..." (a run of six dots is two) with "…"."""
    hashes = ellipses = dots = 0
    for i in range(len(text)):
        byte = at(text, i)
        hashes += byte == ord("#")
        dots = dots + 1 if byte == ord(".") else 0
        if dots == 3:
            ellipses += 1
            dots = 0
        if byte == 0xE2 and is_ellipsis(text, i):
            ellipses += 1
    row.hashes, row.ellipses = hashes, ellipses


@compiled
def is_ellipsis(text: np.ndarray, i: int) -> bool:
    """Tell whether "…" starts at byte i."""
    return i + 2 < len(text) and text[i] == 0xE2 and text[i + 1] == 0x80 and text[i + 2] == 0xA6


@compiled
def read_word(text: np.ndarray, classes: np.ndarray, i: int, hashes: np.ndarray, n: int) -> tuple[int, int, int]:
    """Read the word at byte i, whose first character is the n-th of all words.

    Fill hashes[n + 1:] with the hashes of all characters up to each of the word's. Return the byte
    after the word, the number of characters up to it, and its classes, or-ed; there PUNCTUATION
    means the opposite: some character is none.
    """
    value, seen = hashes[n], 0
    while i < len(text):
        code, after = decode(text, i)
        kind = at(classes, code)
        if kind & SPACE:
            break
        seen |= kind ^ PUNCTUATION
        value = value * BASE + np.uint64(code + 1)
        n += 1
        hashes[np.uintp(n)] = value
        i = after
    return i, n, seen


@compiled
def stop_word(text: np.ndarray, start: int, stop: int) -> int:
    """Return a bit for the stop word text[start:stop] is, 0 if it is none."""
    code = 1  # so that "\0the" is not "the"
    for i in range(start, stop):
        code = code << 8 | signed(at(text, i))
    found = 0
    for k in range(len(STOP_CODES)):
        found |= signed(STOP_CODES[k] == code) << k
    return found


@compiled
def count_words(text: np.ndarray, classes: np.ndarray, hashes: np.ndarray, ends: np.ndarray, row: Any) -> None:
    """Count the words (str.split) of each kind, and index them for the n-grams.

    hashes  # (characters of words + 1) uint64: polynomial hash of the words' first i characters
    ends    # (words + 1) uint32: characters of the first i words, without the spaces between
    """
    words = nonsymbol = nonsymbol_characters = alpha = stops = 0
    hashes[0] = ends[0] = n = 0
    i = skip_spaces(text, classes, 0)
    while i < len(text):
        start, before = i, n
        i, n, seen = read_word(text, classes, i, hashes, n)
        if i - start <= LONGEST_STOP_WORD:
            stops |= stop_word(text, start, i)
        alpha += seen & ALPHA != 0
        if seen & PUNCTUATION:
            nonsymbol += 1
            nonsymbol_characters += n - before
        words += 1
        ends[words] = n
        i = skip_spaces(text, classes, i)
    row.words, row.alpha_words = words, alpha
    row.nonsymbol_words, row.nonsymbol_characters = nonsymbol, nonsymbol_characters
    row.stop_words = 0
    while stops:
        row.stop_words += stops & 1
        stops >>= 1


@compiled
def next_break(text: np.ndarray, classes: np.ndarray, i: int) -> tuple[int, int]:
    """Return where the first line break (str.splitlines) at or after byte i starts, and where it ends."""
    while i < len(text):
        if np.uint8(at(text, i) - 0x20) < 0x60:  # printable ASCII
            i += 1
            continue
        code, after = decode(text, i)
        if at(classes, code) & LINE_BREAK:
            if code == ord("\r") and after < len(text) and at(text, after) == ord("\n"):
                after += 1
            return i, after
        i = after
    return i, i


@compiled
def is_bullet_line(line: np.ndarray, classes: np.ndarray) -> bool:
    """Tell whether the first character that is no space is "•" or "-"."""
    i = skip_spaces(line, classes, 0)
    return i < len(line) and decode(line, i)[0] in (ord("-"), ord("•"))


@compiled
def is_ellipsis_line(line: np.ndarray, classes: np.ndarray) -> bool:
    """Tell whether the line ends in "..." or "…", and maybe spaces."""
    stop = trim_spaces(line, classes, 0, len(line))
    i = stop - 3
    return i >= 0 and (is_ellipsis(line, i) or (line[i] == line[i + 1] == line[i + 2] == ord(".")))


@compiled
def count_lines(text: np.ndarray, classes: np.ndarray, row: Any) -> None:
    """Count the lines (str.splitlines) that start with a bullet or end in an ellipsis."""
    lines = bullets = ellipses = i = 0
    while i < len(text):
        start = i
        stop, i = next_break(text, classes, i)
        lines += 1
        bullets += is_bullet_line(text[start:stop], classes)
        ellipses += is_ellipsis_line(text[start:stop], classes)
    row.lines, row.bullet_lines, row.ellipsis_lines = lines, bullets, ellipses
