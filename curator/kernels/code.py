"""What source code is made of: letters and lines, the characters of its comments, the text that HTML shows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.counts import char_classes, characters, decode
from curator.kernels.shingles import frozen
from curator.kernels.unicode import ALPHA, WORD

COUNTS = np.dtype([(name, np.int64) for name in ("characters", "letters", "alphanumeric", "newlines", "longest_line")])
LINE, WORD_LINE, BLOCK, STRING, LONG_STRING, RAW_STRING = range(6)  # what a marker opens, see `Syntax`
WIDEST = 8  # bytes of a marker
NEW_LINE, BACKSLASH = np.uint8(10), np.uint8(92)


class Syntax(NamedTuple):
    """Where comments and strings of a language begin and end, as arrays: a row a marker, the longest first.

    A LINE comment runs to the line's end, a WORD_LINE one does where it stands at a line's begin or after white
    space; a BLOCK to its close, and the first of those closes it. A STRING ends at its close or at the line's
    end, a LONG_STRING at its close alone; in both a backslash takes the byte after it along, in a RAW_STRING not.
    """

    kinds: np.ndarray  # uint8 (markers,)
    opens: np.ndarray  # uint8 (markers, WIDEST)
    open_sizes: np.ndarray  # int64 (markers,)
    closes: np.ndarray  # uint8 (markers, WIDEST)
    close_sizes: np.ndarray  # int64 (markers,)
    first: np.ndarray  # bool (256,): the bytes that markers begin with


def syntax(markers: list[tuple[int, str, str]]) -> Syntax:
    """Return the syntax of markers (kind, open, close)."""
    ordered = sorted(markers, key=lambda marker: -len(marker[1]))
    opens, open_sizes = _padded([open for _, open, _ in ordered])
    closes, close_sizes = _padded([close for _, _, close in ordered])
    first = np.zeros(256, bool)
    first[opens[:, 0]] = True
    kinds = np.array([kind for kind, _, _ in ordered], np.uint8)
    return Syntax(kinds, opens, open_sizes, closes, close_sizes, first)


def _padded(marks: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return ASCII marks as (uint8 (marks, WIDEST), their sizes)."""
    table = np.zeros((len(marks), WIDEST), np.uint8)
    for row, mark in enumerate(marks):
        table[row, : len(mark)] = list(mark.encode())
    return table, np.array(list(map(len, marks)), np.int64)


def count(offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Return COUNTS (texts,) of the texts data[offsets[i]:offsets[i + 1]], UTF-8: code points, those that are
    str.isalpha and str.isalnum, line feeds, and the code points between two of them at most.

    O(bytes), about 400 MB/s a core.
    """
    counts = np.zeros(len(offsets) - 1, COUNTS)
    _count(frozen(offsets), frozen(data), char_classes(), counts)
    return counts


def comments(
    offsets: np.ndarray, data: np.ndarray, rows: np.ndarray, syntax: Syntax, documents: bool, out: np.ndarray
) -> None:
    """Set out[row], int64, to the code points of comments in each text of `rows`, their marks not counted.

    With `documents`, strings that are a statement count too: those that start and end one outside brackets, as
    Python's docstrings do. Outside strings a backslash takes the next byte along (\\% of TeX, a line continued).
    O(bytes), about 140 MB/s a core.
    """
    _comments(frozen(offsets), frozen(data), rows, syntax, documents, out)


def shown(offsets: np.ndarray, data: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """Set out[row], int64, to the code points of each HTML text of `rows` outside tags, comments, scripts and
    styles: character references count as they are written."""
    _shown(frozen(offsets), frozen(data), rows, out)


@compiled
def _count(offsets: np.ndarray, data: np.ndarray, classes: np.ndarray, counts: np.ndarray) -> None:
    for row in range(offsets.size - 1):
        text = data[offsets[row] : offsets[row + 1]]
        total = letters = alphanumeric = newlines = line = longest = i = 0
        while i < len(text):
            code, i = decode(text, i)
            kind = classes[code]
            total += 1
            line += 1
            letters += (kind & ALPHA) != 0
            alphanumeric += (kind & WORD) != 0 and code != ord("_")
            if code == ord("\n"):
                newlines += 1
                longest = max(longest, line - 1)
                line = 0
        own = counts[row]
        own.characters, own.letters, own.alphanumeric = total, letters, alphanumeric
        own.newlines, own.longest_line = newlines, max(longest, line)


@compiled
def _comments(
    offsets: np.ndarray, data: np.ndarray, rows: np.ndarray, syntax: Syntax, documents: bool, out: np.ndarray
) -> None:
    for row in rows:
        out[row] = comment_characters(data[offsets[row] : offsets[row + 1]], syntax, documents)


@compiled
def comment_characters(text: np.ndarray, syntax: Syntax, documents: bool) -> int:
    """Count the characters of a text's comments, see `comments`."""
    total = i = depth = 0
    begun = False  # something of a statement stands before this byte
    apart = True  # white space, or nothing, does
    while i < len(text):
        marker = marker_at(text, i, apart, syntax) if syntax.first[text[i]] else -1
        if marker < 0:
            i, depth, begun, apart = pass_byte(text, i, depth, begun)
            continue
        start = i + syntax.open_sizes[marker]
        stop, i = end_of(text, start, marker, syntax)
        if syntax.kinds[marker] <= BLOCK:
            total += characters(text[start:stop])
        else:
            if documents and not begun and ends_statement(text, i):
                total += characters(text[start:stop])
            begun = True
        apart = False
    return total


@compiled
def marker_at(text: np.ndarray, i: int, apart: bool, syntax: Syntax) -> int:
    """Return the marker that opens at byte i, -1 where none does."""
    for marker in range(len(syntax.kinds)):
        if syntax.kinds[marker] == WORD_LINE and not apart:
            continue
        if stands(text, i, syntax.opens[marker], syntax.open_sizes[marker]):
            return marker
    return -1


@compiled
def stands(text: np.ndarray, i: int, mark: np.ndarray, size: int) -> bool:
    """Tell whether mark[:size] stands at byte i."""
    if i + size > len(text):
        return False
    same = True
    for k in range(size):
        same &= bool(text[i + k] == mark[k])
    return same


@compiled
def pass_byte(text: np.ndarray, i: int, depth: int, begun: bool) -> tuple[int, int, bool, bool]:
    """Go on from a byte that opens nothing; return (next byte, depth of brackets, begun, apart)."""
    byte = text[i]
    if byte == BACKSLASH:
        return i + 2, depth, True, False
    if byte == NEW_LINE:
        return i + 1, depth, depth > 0, True
    if byte <= 32:
        return i + 1, depth, begun, True
    if byte == ord("(") or byte == ord("[") or byte == ord("{"):
        depth += 1
    elif byte == ord(")") or byte == ord("]") or byte == ord("}"):
        depth = max(depth - 1, 0)
    small = byte | 32
    quoted = i + 1 < len(text) and (text[i + 1] == ord('"') or text[i + 1] == ord("'"))
    prefix = quoted and (small == ord("r") or small == ord("u"))  # r"""a docstring"""
    return i + 1, depth, begun or not prefix, False


@compiled
def end_of(text: np.ndarray, i: int, marker: int, syntax: Syntax) -> tuple[int, int]:
    """Return (where what the marker opened ends, where reading goes on); its content starts at byte i."""
    kind, close, size = syntax.kinds[marker], syntax.closes[marker], syntax.close_sizes[marker]
    while i < len(text):
        byte = text[i]
        if byte == NEW_LINE and (kind <= WORD_LINE or kind == STRING):
            return i, i
        if byte == BACKSLASH and STRING <= kind <= LONG_STRING:
            i += 2
            continue
        if kind > WORD_LINE and byte == close[0] and stands(text, i, close, size):
            return i, i + size
        i += 1
    return len(text), len(text)


@compiled
def ends_statement(text: np.ndarray, i: int) -> bool:
    """Tell whether nothing but blanks, and maybe a comment, follow on the line of byte i."""
    while i < len(text) and (text[i] == ord(" ") or text[i] == ord("\t") or text[i] == ord("\r")):
        i += 1
    return i >= len(text) or text[i] == NEW_LINE or text[i] == ord("#")


@compiled
def _shown(offsets: np.ndarray, data: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    for row in rows:
        text = data[offsets[row] : offsets[row + 1]]
        total = i = 0
        while i < len(text):
            after = pass_markup(text, i) if text[i] == ord("<") else i
            if after == i:
                total += text[i] & 0xC0 != 0x80
                after = i + 1
            i = after
        out[row] = total


@compiled
def pass_markup(text: np.ndarray, i: int) -> int:
    """Return where the tag, comment, script or style that opens at byte i, a <, ends; i where none does."""
    if i + 1 >= len(text):
        return i
    if i + 3 < len(text) and text[i + 1] == ord("!") and text[i + 2] == ord("-") and text[i + 3] == ord("-"):
        k = i + 4
        while k < len(text) and not (text[k] == ord(">") and k >= i + 6 and text[k - 1] == text[k - 2] == ord("-")):
            k += 1
        return min(k + 1, len(text))
    lead = text[i + 1]
    letter = np.uint8((lead | 32) - ord("a")) < 26
    if not letter and lead != ord("/") and lead != ord("!") and lead != ord("?"):
        return i
    after = end_of_tag(text, i + 1)
    for name in ("script", "style"):
        if is_tag(text, i + 1, name):
            while after < len(text) and not (
                text[after] == ord("<") and after + 1 < len(text) and text[after + 1] == ord("/")
                and is_tag(text, after + 2, name)
            ):  # fmt: skip
                after += 1
    return after


@compiled
def end_of_tag(text: np.ndarray, i: int) -> int:
    """Return what follows the > of a tag, which may stand in quoted values before."""
    while i < len(text) and text[i] != ord(">"):
        if text[i] == ord("=") and i + 1 < len(text) and (text[i + 1] == ord('"') or text[i + 1] == ord("'")):
            quote = text[i + 1]
            i += 2
            while i < len(text) and text[i] != quote:
                i += 1
        i += 1
    return min(i + 1, len(text))


@compiled
def is_tag(text: np.ndarray, i: int, name: str) -> bool:
    """Tell whether byte i begins the name of a tag, in any case, and no longer one."""
    size = len(name)
    if i + size > len(text):
        return False
    for k in range(size):
        if text[i + k] | 32 != ord(name[k]):
            return False
    return i + size == len(text) or bool(np.uint8((text[i + size] | 32) - ord("a")) >= 26)
