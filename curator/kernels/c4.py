"""The lines of texts that C4 cuts, and the citations in the lines it keeps: one pass over the bytes."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from curator.kernels.bits import BLOCK, bits_above, compiled, ones, trailing_zeros
from curator.kernels.c4_phrases import CURLY_BRACKET, JAVASCRIPT, LOREM_IPSUM, POLICY, phrases_in
from curator.kernels.counts import at, char_classes, characters, decode, skip_spaces, trim_spaces
from curator.kernels.shingles import frozen
from curator.kernels.unicode import LINE_BREAK, SPACE

KINDS = ("", "long_word", "no_terminal_mark", "few_words", "javascript", "policy", "citation")  # "": white space
_SPACE, _LONG_WORD, _NO_TERMINAL_MARK, _FEW_WORDS, _JAVASCRIPT, _POLICY, _CITATION = range(7)
FILLS = ("", "\n")
_WORDS = ("edit]", "citation needed]")  # what may follow the [ of a citation, digits apart
_FOLLOWING = np.array([list(word.encode().ljust(16)) for word in _WORDS], np.uint8)
_LENGTHS = np.array([len(word) for word in _WORDS])
_PLAIN = np.array([0x21 <= byte < 0x80 and byte != ord("[") for byte in range(256)])  # neither space nor citation


class _Spans(NamedTuple):
    """Room for spans."""

    starts: np.ndarray
    stops: np.ndarray
    kinds: np.ndarray
    fills: np.ndarray


class Limits(NamedTuple):
    """What makes a line go."""

    min_words: int
    max_word_length: int  # characters
    terminal_mark: bool
    citations: bool
    phrases: int  # those looked for, or-ed


def cut_lines(offsets: np.ndarray, data: np.ndarray, limits: Limits) -> tuple[np.ndarray, ...]:
    """Return the spans to cut out of the texts data[offsets[i]:offsets[i + 1]], UTF-8 in uint8.

    Returns first: int64 (texts + 1), the spans of each text; starts, stops int64, bytes from its begin, ascending
    and apart; kinds uint8, of KINDS; fills uint8, what of FILLS stands in a span's place. O(bytes). Scratch memory
    is that of the longest text, and 18 bytes a line and citation.
    """
    views = frozen(offsets), frozen(data)
    most = 2 * _marks(*views) + 3 * len(offsets)  # a line: a span of white space and one of its own
    spans = _Spans(*(np.empty(most, kind) for kind in (np.int64, np.int64, np.uint8, np.uint8)))
    scratch = np.empty(int(np.diff(offsets).max(initial=0)), np.uint8)
    first = _cut_lines(*views, char_classes(), _decimals(), limits, scratch, frozen(scratch), spans)
    return first, *(column[: first[-1]] for column in spans)


@functools.cache
def _decimals() -> np.ndarray:
    """Return bool, for every number that `decode` returns: whether it is a digit, as \\d matches."""
    table = np.zeros(1 << 21, bool)
    table[[c for c in range(0x110000) if chr(c).isdecimal()]] = True
    return table


@compiled
def _marks(offsets: np.ndarray, data: np.ndarray) -> int:
    """Count what may break a line or start a citation, rather too much."""
    found = 0
    for i in range(offsets[0], offsets[-1]):
        byte = at(data, i)
        found += (byte < 0x20) | (byte == ord("["))
    for i in range(offsets[0] + 1, offsets[-1]):
        byte, before = at(data, i), at(data, i - 1)
        found += ((byte == 0x85) & (before == 0xC2)) | ((byte & 0xFE == 0xA8) & (before == 0x80))  # U+0085, U+2028
    return found


@compiled
def _cut_lines(
    offsets: np.ndarray,
    data: np.ndarray,
    classes: np.ndarray,
    decimals: np.ndarray,
    limits: Limits,
    scratch: np.ndarray,
    shown: np.ndarray,  # the same bytes, read-only
    spans: _Spans,
) -> np.ndarray:
    first = np.zeros(offsets.size, np.int64)
    for row in range(offsets.size - 1):
        text, n = data[offsets[row] : offsets[row + 1]], first[row]
        i = done = 0  # the next line, and how far it is decided what stays
        begun = False  # something but white space stays
        while i < len(text):
            start, stop, i, words, long, bracket = _read_line(text, i, classes, limits.max_word_length)
            bracket &= limits.citations
            body = text[start:stop]
            if bracket:
                body = shown[: _without_citations(body, decimals, scratch)]
            kind = _verdict(body, words, long, limits)
            if kind == _SPACE:  # it stays
                broken = start - done == 1 and text[done] == ord("\n")
                if not (begun and broken):
                    n = _add(spans, n, done, start, _SPACE, begun)
                if bracket:
                    n, start, begun = _cut_citations(text, start, stop, classes, decimals, begun, spans, n)
                begun |= start < stop
                done = stop
            elif words:
                n = _add(spans, n, done, start, _SPACE, False)
                n = _add(spans, n, start, stop, kind, False)
                done = stop
        n = _add(spans, n, done, len(text), _SPACE, False)
        _trim_end(text, classes, spans, first[row], n)
        first[row + 1] = n
    return first


@compiled
def _add(spans: _Spans, n: int, start: int, stop: int, kind: int, fill: bool) -> int:
    """Add a span unless it is empty; return how many there are."""
    if start == stop:
        return n
    spans.starts[n], spans.stops[n], spans.kinds[n], spans.fills[n] = start, stop, kind, fill
    return n + 1


@compiled
def _read_line(
    text: np.ndarray, i: int, classes: np.ndarray, max_word_length: int
) -> tuple[int, int, int, int, bool, bool]:
    """Read the line (str.splitlines) that starts at byte i.

    Return where it starts and stops, white space at both ends aside, where the next one starts, the number of
    its words (str.split), whether one is too long, and whether it holds a [.
    """
    line = word = i  # word: where the one that is being read starts, or may start
    words, long, bracket, stop = 0, False, False, -1
    while stop < 0:
        if i + BLOCK <= len(text) and max_word_length >= BLOCK and at(text, i) < 0x80:
            i, word, ended, longest = _read_block(text, i, word)
            words += ended
            long |= longest > max_word_length
        while i < len(text) and at(_PLAIN, at(text, i)):
            i += 1
        code, after, kind = ord("\n"), i, np.uint8(SPACE | LINE_BREAK)  # the end of the text
        if i < len(text):
            code, after = decode(text, i)
            kind = at(classes, code)
        bracket |= code == ord("[")
        if kind & SPACE:
            words += i > word
            long |= i - word > max_word_length and characters(text[word:i]) > max_word_length
            word = after
        if kind & LINE_BREAK:
            stop = i
        if code == ord("\r") and after < len(text) and text[after] == ord("\n"):
            after += 1
        i = after
    if not words:
        return stop, stop, i, words, long, bracket
    start = skip_spaces(text, classes, line)
    return start, trim_spaces(text, classes, start, stop), i, words, long, bracket


@compiled
def _read_block(text: np.ndarray, i: int, word: int) -> tuple[int, int, int, int]:
    """Read up to 64 bytes from byte i, none but printable ASCII without [; `word` is as in `_read_line`.

    Return the byte behind them, `word` there, how many words ended, and the characters of one longer than a block.
    """
    spaces = ~bits_above(text, i, np.uint8(0x20))
    other = ~bits_above(text, i, np.uint8(0x1F)) | bits_above(text, i, np.uint8(0x7E))
    other |= bits_above(text, i, np.uint8(ord("[") - 1)) & ~bits_above(text, i, np.uint8(ord("[")))
    size = trailing_zeros(other)
    if size < BLOCK:
        spaces &= (np.uint64(1) << np.uint64(size)) - np.uint64(1)
    if not spaces:
        return i + size, word, 0, 0
    first = i + trailing_zeros(spaces)
    ends = spaces & ~(spaces << np.uint64(1) | np.uint64(word == i))
    longest = characters(text[word:first]) if first - word > BLOCK else 0  # the others are shorter
    for shift in (1, 2, 4, 8, 16, 32):  # to all ones up to the last space
        spaces |= spaces >> np.uint64(shift)
    return i + size, i + ones(spaces), ones(ends), longest


@compiled
def _verdict(line: np.ndarray, words: int, long: bool, limits: Limits) -> int:
    """Return why a line, its citations cut out, goes; _SPACE where it stays."""
    if long:
        return _LONG_WORD
    if limits.terminal_mark and not _ends_well(line):
        return _NO_TERMINAL_MARK
    if words < limits.min_words:
        return _FEW_WORDS
    told = phrases_in(line, 0, len(line)) & limits.phrases if limits.phrases else 0
    if told & LOREM_IPSUM:  # the document goes, as the filter behind will find
        return _SPACE
    if told & JAVASCRIPT:
        return _JAVASCRIPT
    if told & CURLY_BRACKET:  # likewise
        return _SPACE
    return _POLICY if told & POLICY else _SPACE


@compiled
def _ends_well(line: np.ndarray) -> bool:
    """Tell whether a line ends in . ? ! " or ', and not in three full stops."""
    size = len(line)
    if size == 0:
        return False
    last = line[size - 1]
    if last == ord("."):
        return size < 3 or line[size - 2] != ord(".") or line[size - 3] != ord(".")
    return bool(last == ord("?") or last == ord("!") or last == ord('"') or last == ord("'"))


@compiled
def _citation(text: np.ndarray, start: int, stop: int, decimals: np.ndarray) -> tuple[int, int]:
    """Return where the first citation in text[start:stop] starts and stops: [, digits or one of _WORDS, and ]."""
    for i in range(start, stop):
        if at(text, i) != ord("["):
            continue
        after = i + 1
        while after < stop:
            code, following = decode(text, after)
            if not at(decimals, code):
                break
            after = following
        if after < stop and text[after] == ord("]"):
            return i, after + 1
        for k in range(len(_LENGTHS)):
            after = i + 1 + _LENGTHS[k]
            if after <= stop and np.all(text[i + 1 : after] == _FOLLOWING[k, : _LENGTHS[k]]):
                return i, after
    return stop, stop


@compiled
def _without_citations(line: np.ndarray, decimals: np.ndarray, scratch: np.ndarray) -> int:
    """Copy a line without its citations to scratch; return its size."""
    size = i = 0
    while i < len(line):
        start, stop = _citation(line, i, len(line), decimals)
        scratch[size : size + start - i] = line[i:start]
        size += start - i
        i = stop
    return size


@compiled
def _cut_citations(
    text: np.ndarray,
    start: int,
    stop: int,
    classes: np.ndarray,
    decimals: np.ndarray,
    begun: bool,
    spans: _Spans,
    n: int,
) -> tuple[int, int, bool]:
    """Add the citations of the line text[start:stop], which stays; return (n, where the last stops, begun)."""
    before, after = _citation(text, start, stop, decimals)
    while before < stop:
        begun |= before > start
        if not begun:  # nothing stays before: nor does white space
            after = min(skip_spaces(text, classes, after), stop)
        n = _add(spans, n, before, after, _CITATION, False)
        start = after
        before, after = _citation(text, start, stop, decimals)
    return n, start, begun


@compiled
def _trim_end(text: np.ndarray, classes: np.ndarray, spans: _Spans, first: int, n: int) -> None:
    """Widen the spans first to n that the text ends in over the white space before them: nothing follows it."""
    end = len(text)
    while n > first and spans.stops[n - 1] == end:
        n -= 1
        spans.fills[n] = 0
        before = spans.stops[n - 1] if n > first else 0
        end = spans.starts[n] = trim_spaces(text, classes, before, spans.starts[n])
