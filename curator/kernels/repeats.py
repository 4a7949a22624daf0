"""Sets of 64-bit hashes, and how much of a text repeats: paragraphs, sections.

All is compared by hashes, not letter by letter: two different pieces pass for equal with odds of about
1 in 10^19, in all pairs of a text of a million words of 1 in 10^7.

A `space` is uint64 scratch for hash tables; the functions take what they need of it and no more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.counts import ONE, characters, signed, skip_spaces, trim_spaces
from curator.kernels.word_counts import Hash, hash_bytes


@compiled
def filled_bits(least: int) -> int:
    """Return the first of 1, 3, 7, 15, ... that is not less."""
    bits = 1
    while bits < least:
        bits = 2 * bits + 1
    return bits


@compiled
def table_size(entries: int) -> int:
    """Return the number of slots of a table: a power of two, of which at most half will be taken."""
    return filled_bits(max(2 * entries, 64)) + 1


@compiled
def empty_table(space: np.ndarray, entries: int) -> np.ndarray:
    """Return the part of `space` that so many entries need, cleared."""
    table = space[: table_size(entries)]
    table[:] = 0
    return table


@compiled
def seen_before(table: np.ndarray, key: Hash) -> bool:
    """Tell whether the set `table` holds the key, and put it there."""
    mask = np.uint64(len(table) - 1)
    slot = key >> np.uint64(20) & mask
    while table[slot] != 0:
        if table[slot] == key:
            return True
        slot = slot + np.uint64(1) & mask
    table[slot] = key
    return False


@compiled
def times_before(table: np.ndarray, key: Hash) -> int:
    """Return how often the table was asked for this key: 0, 1, or 2 for any more.

    An entry is the key, whose lowest bit is 1, without that bit once it was asked for twice.
    """
    mask = np.uint64(len(table) - 1)
    slot = key >> np.uint64(20) & mask
    while table[slot] != 0:
        if table[slot] | ONE == key:
            times = 1 if table[slot] == key else 2
            table[slot] = key ^ ONE
            return times
        slot = slot + np.uint64(1) & mask
    table[slot] = key
    return 0


@compiled
def count_paragraphs(text: np.ndarray, classes: np.ndarray, newlines: np.ndarray, table: np.ndarray, row: Any) -> None:
    """Count the paragraphs that stand earlier already: parts of the stripped text between runs of two or more
    newlines (datatrove's Gopher)."""
    start = skip_spaces(text, classes, 0)
    end = trim_spaces(text, classes, start, len(text))
    pieces = again = again_characters = k = 0
    while True:
        stop = after = end
        while k < len(newlines) and after == end:
            first, k = k, k + 1
            while k < len(newlines) and newlines[k] == newlines[k - 1] + 1:
                k += 1
            if k - first > 1 and start <= signed(newlines[first]) < end:
                stop, after = signed(newlines[first]), signed(newlines[k - 1]) + 1
        pieces += 1
        if seen_before(table, hash_bytes(text, start, stop)):
            again += 1
            again_characters += characters(text[start:stop])
        if stop == end:
            break
        start = after
    row.paragraphs, row.duplicate_paragraphs, row.duplicate_paragraph_characters = pieces, again, again_characters


@compiled
def count_sections(text: np.ndarray, newlines: np.ndarray, table: np.ndarray, starts: np.ndarray, row: Any) -> int:
    """Count the sections that stand earlier nowhere: the parts of text.split("\\n\\n"), paragraphs to NeMo Curator.

    starts  # uint32: filled with the byte where each section starts
    Returns their number.
    """
    sections = again = again_characters = start = k = 0
    while True:
        while k + 1 < len(newlines) and newlines[k + 1] != newlines[k] + 1:
            k += 1
        is_last = k + 1 >= len(newlines)
        stop = len(text) if is_last else signed(newlines[k])
        starts[sections] = start
        sections += 1
        if seen_before(table, hash_bytes(text, start, stop)):
            again += 1
            again_characters += characters(text[start:stop])
        if is_last:
            break
        start, k = stop + 2, k + 2
    row.sections, row.unique_sections = sections, sections - again
    row.section_characters = row.characters - 2 * (sections - 1)
    row.unique_section_characters = row.section_characters - again_characters
    return sections
