"""Count lines and what stands at their ends, in one walk over the newlines of a text.

Three notions of a line are counted: between newlines (FineWeb, NeMo Curator, which leave out lines of white
space alone; dolma, which doesn't; Gopher's duplicate lines, where newlines side by side are one), and
str.splitlines (datatrove's Gopher), which is the first one in a text that has no other line breaks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.counts import (
    at,
    characters,
    decode,
    is_dots,
    is_ellipsis,
    signed,
    skip_spaces,
    starts_with,
    trim_spaces,
)
from curator.kernels.repeats import times_before
from curator.kernels.unicode import LINE_BREAK, TERMINAL
from curator.kernels.word_counts import hash_bytes

SHORT_LINE = 30  # characters (FineWeb)
ASCII = 0x80
READ_MORE = np.frombuffer(b"read more", np.uint8)


@compiled
def is_bullet(text: np.ndarray, i: int) -> bool:
    """Tell whether "•" or "-" starts at byte i: what datatrove's Gopher takes for a bullet."""
    return text[i] == ord("-") or starts_with(text, i, 0xE2, 0x80, 0xA2)


@compiled
def is_round_bullet(text: np.ndarray, i: int) -> bool:
    """Tell whether one of NeMo Curator's twelve bullets starts at byte i; "-" and "*" are none."""
    if text[i] != 0xE2:
        return False
    code = decode(text, i)[0]
    rare = code in (0x2219, 0x25CB, 0x25CF, 0x25D8, 0x25E6, 0x29BE, 0x29BF)
    return rare or code in (0x2022, 0x2023, 0x2043, 0x204C, 0x204D)


@compiled
def ends_in_ellipsis(text: np.ndarray, start: int, stop: int) -> bool:
    """Tell whether text[start:stop] ends in "..." or "…"."""
    i = stop - 3
    return i >= start and (is_dots(text, i) or is_ellipsis(text, i))


@compiled
def ends_in_more(text: np.ndarray, start: int, stop: int) -> bool:
    """Tell whether text[start:stop] ends in what NeMo Curator takes for an ellipsis: also "[...]", "(...)", "[…]",
    "-»", "read more" and "read more.."."""
    last = text[stop - 1]
    if last == ord("]") or last == ord(")"):
        i = stop - 5
        opening = ord("[") if last == ord("]") else ord("(")
        inner = is_dots(text, i + 1) or (last == ord("]") and is_ellipsis(text, i + 1))
        return i >= start and text[i] == opening and inner
    if last == 0xBB:
        return stop - 3 >= start and starts_with(text, stop - 3, ord("-"), 0xC2, 0xBB)
    if ends_in_ellipsis(text, start, stop):
        return True
    if last == ord(".") and stop - start > 2 and text[stop - 2] == ord("."):
        stop -= 2
    i = stop - len(READ_MORE)
    if i < start or (last != ord(".") and last | 0x20 != ord("e")):
        return False
    for k in range(len(READ_MORE)):
        if text[i + k] | 0x20 != READ_MORE[k] or (READ_MORE[k] == ord(" ") and text[i + k] != ord(" ")):
            return False
    return True


@compiled
def is_end_mark(byte: int) -> bool:
    """Tell whether NeMo Curator takes the byte for the end of a sentence."""
    return byte in (ord("."), ord("?"), ord("!"), ord('"'), ord("'"))


@compiled
def last_code(text: np.ndarray, start: int, stop: int) -> int:
    """Return the last character of text[start:stop], which is not empty."""
    i = stop - 1
    while i > start and at(text, i) & 0xC0 == 0x80:
        i -= 1
    return decode(text, i)[0]


@compiled
def first_text(text: np.ndarray, classes: np.ndarray, start: int, stop: int) -> int:
    """Return where text[start:stop], which is not empty, starts without white space; `stop` if it is nothing else."""
    if 0x20 < at(text, start) < ASCII:
        return start
    return min(skip_spaces(text[:stop], classes, start), stop)


@compiled
def last_text(text: np.ndarray, classes: np.ndarray, start: int, stop: int) -> int:
    """Return where text[start:stop] ends without white space."""
    if 0x20 < at(text, stop - 1) < ASCII:
        return stop
    return trim_spaces(text, classes, start, stop)


@compiled
def count_lines(text: np.ndarray, classes: np.ndarray, newlines: np.ndarray, row: Any) -> None:
    """Count what stands at the ends of the lines between `newlines`, the places of all newlines."""
    lines = bullets = ellipses = round_bullets = mores = unended = terminal = short = stars = dots = 0
    is_ascii = row.characters == len(text)
    start = 0
    for k in range(len(newlines) + 1):
        stop = len(text) if k == len(newlines) else signed(newlines[k])
        begin, start = start, stop + 1
        if begin == stop:
            continue
        stars += (text[begin] == ord("*")) | (text[begin] == ord("-"))
        dots += is_ellipsis(text, stop - 3) and stop - 3 >= begin
        first = first_text(text, classes, begin, stop)
        if first == stop:
            continue
        last = last_text(text, classes, first, stop)
        lines += 1
        bullets += is_bullet(text, first)
        round_bullets += is_round_bullet(text, first)
        ellipses += ends_in_ellipsis(text, first, last)
        mores += ends_in_more(text, first, last)
        unended += not is_end_mark(text[last - 1])
        terminal += at(classes, last_code(text, begin, stop)) & TERMINAL != 0
        size = stop - begin
        if size > SHORT_LINE and not is_ascii and size <= 4 * SHORT_LINE:
            size = characters(text[begin:stop])
        short += size <= SHORT_LINE
    row.newlines, row.text_lines = len(newlines), lines
    row.lines = len(newlines) + (len(text) > 0 and text[-1] != ord("\n"))
    row.bullet_lines, row.ellipsis_lines, row.round_bullet_lines, row.more_lines = (
        bullets,
        ellipses,
        round_bullets,
        mores,
    )
    row.unended_lines, row.terminal_lines, row.short_lines = unended, terminal, short
    row.newline_parts, row.star_lines, row.dots_lines = len(newlines) + 1, stars, dots


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
def count_split_lines(text: np.ndarray, classes: np.ndarray, row: Any) -> None:
    """Count the lines of str.splitlines that start with a bullet or end in an ellipsis."""
    lines = bullets = ellipses = i = 0
    while i < len(text):
        start = i
        stop, i = next_break(text, classes, i)
        lines += 1
        if stop == start:
            continue
        first = first_text(text, classes, start, stop)
        if first < stop:
            bullets += is_bullet(text[:stop], first)
            ellipses += ends_in_ellipsis(text, first, last_text(text, classes, first, stop))
    row.lines, row.bullet_lines, row.ellipsis_lines = lines, bullets, ellipses


@compiled
def count_duplicate_lines(
    text: np.ndarray, classes: np.ndarray, newlines: np.ndarray, table: np.ndarray, row: Any
) -> None:
    """Count the lines that stand earlier already: among all that re.split at runs of newlines gives, and among those
    with text; and the lines that occur more than once, all occurrences, of all between newlines (dolma)."""
    full = again = again_characters = blank_again = blank_characters = text_characters = 0
    recurring = recurring_characters = 0
    is_ascii = row.characters == len(text)
    start = 0
    for k in range(len(newlines) + 1):
        stop = len(text) if k == len(newlines) else signed(newlines[k])
        begin, start = start, stop + 1
        if begin == stop:
            continue
        full += 1
        times = times_before(table, hash_bytes(text, begin, stop))
        is_blank = first_text(text, classes, begin, stop) == stop
        size = stop - begin if is_ascii else characters(text[begin:stop])
        text_characters += 0 if is_blank else size
        if times:
            occurrences = 2 if times == 1 else 1  # with this one the first one counts too
            recurring += occurrences
            recurring_characters += occurrences * size
            again += 1
            again_characters += size
            blank_again += is_blank
            blank_characters += size if is_blank else 0
    empty = len(newlines) + 1 - full
    edges = (len(newlines) > 0 and newlines[0] == 0) + (len(newlines) > 0 and newlines[-1] == len(text) - 1)
    row.split_lines = full + edges + (len(text) == 0)  # "\na\n" is split into "", "a", ""
    row.duplicate_lines = again + (edges == 2)
    row.duplicate_line_characters = again_characters
    row.recurring_lines = recurring + (empty if empty > 1 else 0)
    row.recurring_line_characters = recurring_characters
    row.duplicate_text_lines = again - blank_again
    row.duplicate_text_line_characters = again_characters - blank_characters
    row.text_line_characters = text_characters
    row.unique_text_lines = row.text_lines - row.duplicate_text_lines
    row.inline_characters = row.characters - len(newlines)
    row.unique_text_line_characters = text_characters - row.duplicate_text_line_characters
