"""Count characters, symbols and URLs: compiled loops over UTF-8 bytes, 64 at a time where that can be.

A `text` here is the uint8 array of one document, `classes` the table of `char_classes`, a `row` the
document's record of counts. Functions that look at blocks need PADDING zero bytes behind the text.
The others read no byte outside it, whole or truncated.
"""

import functools
from typing import Any

import numpy as np

from curator.kernels import unicode
from curator.kernels.bits import BLOCK, bits_within, compiled, copy_block, ones, trailing_zeros
from curator.kernels.unicode import SPACE

PADDING = 128  # bytes behind a text that are read, and ignored, by those that look at blocks
ONE = np.uint64(1)
SCHEME = np.frombuffer(b"http", np.uint8)


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
def copy_padded(data: np.ndarray, start: int, size: int, buffer: np.ndarray) -> None:
    """Copy data[start : start + size] to the buffer, and PADDING zero bytes behind it."""
    i = 0
    while i + BLOCK <= size:
        copy_block(data, start + i, buffer, i)
        i += BLOCK
    while i < size:
        buffer[i] = data[start + i]
        i += 1
    buffer[size : size + PADDING] = 0


@compiled
def equal(text: np.ndarray, i: int, byte: int) -> Any:
    """Return the bits of the bytes of the block at i that equal `byte`."""
    return bits_within(text, i, np.uint8(0), np.uint8(byte), np.uint8(byte))


@compiled
def folded(text: np.ndarray, i: int, letter: int) -> Any:
    """Return the bits of the bytes of the block at i that are the (lower-case ASCII) letter in either case."""
    return bits_within(text, i, np.uint8(0x20), np.uint8(letter), np.uint8(letter))


@compiled
def within(text: np.ndarray, i: int, low: int, high: int) -> Any:
    """Return the bits of the bytes of the block at i that are in low..high."""
    return bits_within(text, i, np.uint8(0), np.uint8(low), np.uint8(high))


@compiled
def letters_at(text: np.ndarray, i: int) -> Any:
    """Return the bits of the bytes of the block at i that are ASCII letters."""
    return bits_within(text, i, np.uint8(0x20), np.uint8(ord("a")), np.uint8(ord("z")))


@compiled
def total(bits: Any) -> int:
    """Count one bits."""
    return signed(ones(bits))


@compiled
def starts_with(text: np.ndarray, i: int, byte0: int, byte1: int, byte2: int) -> bool:
    """Tell whether these three bytes, a character maybe, start at byte i of the text."""
    return 0 <= i <= len(text) - 3 and text[i] == byte0 and text[i + 1] == byte1 and text[i + 2] == byte2


@compiled
def is_ellipsis(text: np.ndarray, i: int) -> bool:
    """Tell whether "…" starts at byte i."""
    return starts_with(text, i, 0xE2, 0x80, 0xA6)


@compiled
def is_dots(text: np.ndarray, i: int) -> bool:
    """Tell whether "..." starts at byte i."""
    return starts_with(text, i, ord("."), ord("."), ord("."))


@compiled
def count_symbols(text: np.ndarray, row: Any) -> None:
    """Count "#", and "..." (a run of six dots is two) with "…"."""
    hashes = ellipses = 0
    doubled = before = np.uint64(0)
    for i in range(0, len(text), BLOCK):
        hashes += total(equal(text, i, ord("#")))
        dots = equal(text, i, ord("."))
        doubled |= dots & (dots << ONE | before >> np.uint64(63))
        before = dots
        lead = equal(text, i, 0xE2)
        if lead:
            ellipses += total(lead & equal(text, i + 1, 0x80) & equal(text, i + 2, 0xA6))
    row.hashes = hashes
    row.ellipses = ellipses + (count_dots(text) if doubled else 0)


@compiled
def count_dots(text: np.ndarray) -> int:
    """Count "...", apart from each other."""
    found = dots = 0
    for i in range(len(text)):
        dots = dots + 1 if at(text, i) == ord(".") else 0
        if dots == 3:
            found += 1
            dots = 0
    return found


@compiled
def count_kinds(text: np.ndarray, row: Any) -> None:
    """Count the characters of NeMo Curator's filters: those of English prose (ASCII letters, digits, newlines and
    "?!,."), digits, white space (backspace among it), brackets (with U+27E8 and U+27E9)."""
    prose = digits = blanks = brackets = 0
    for i in range(0, len(text), BLOCK):
        digit = within(text, i, ord("0"), ord("9"))
        newline = equal(text, i, ord("\n"))
        stops = bits_within(text, i, np.uint8(2), np.uint8(ord(".")), np.uint8(ord(".")))  # 0x2c | 2 == 0x2e
        marks = stops | equal(text, i, ord("?")) | equal(text, i, ord("!"))
        prose += total(letters_at(text, i) | digit | newline | marks)
        digits += total(digit)
        spaces = within(text, i, 8, 10) | equal(text, i, ord("\r")) | equal(text, i, ord(" "))
        blanks += total(spaces)
        square = folded(text, i, ord("{")) | folded(text, i, ord("}"))  # "[" | 0x20 == "{"
        brackets += total(within(text, i, ord("("), ord(")")) | square)
        lead = equal(text, i, 0xE2)
        if lead:
            brackets += total(lead & equal(text, i + 1, 0x9F) & within(text, i + 2, 0xA8, 0xA9))
    row.other_characters = row.characters - prose
    row.digits, row.white_spaces, row.brackets = digits, blanks, brackets


@compiled
def is_url_byte(byte: int) -> bool:
    """Tell whether NeMo Curator's pattern of a URL goes on with this byte: not with '"', "#", "`" or "~"."""
    return byte == ord("!") or ord("$") <= byte <= ord("_") or ord("a") <= byte <= ord("z")


@compiled
def url_start(text: np.ndarray, colon: int) -> int:
    """Return where "http" or "https" starts that stands before the "://" at byte `colon`; -1 where none does."""
    start = colon - 5 if colon >= 5 and text[colon - 1] == ord("s") else colon - 4
    if start < 0 or text[colon + 2] != ord("/"):
        return -1
    for k in range(len(SCHEME)):
        if text[start + k] != SCHEME[k]:
            return -1
    return start


@compiled
def count_urls(text: np.ndarray, row: Any) -> None:
    """Count the characters of URLs: http:// or https:// and what follows, to the first byte that is in none."""
    row.url_characters = stop = 0
    for block in range(0, len(text), BLOCK):
        found = equal(text, block, ord(":")) & equal(text, block + 1, ord("/"))
        while found:
            colon = block + trailing_zeros(found)
            found &= found - ONE
            start = url_start(text, colon)
            if start < stop:  # none, or a part of the URL before
                continue
            stop = colon + 3
            while stop < len(text) and is_url_byte(signed(at(text, stop))):
                stop += 1
            row.url_characters += stop - start if stop > colon + 3 else 0
