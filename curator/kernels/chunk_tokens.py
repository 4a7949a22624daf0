"""Tokenise chunks as spaCy does, each alone or several with a space between each two: compiled loops."""

from typing import Any

import numpy as np

from curator.kernels.affixes import Affixes, Text, cut_chunk, find_case
from curator.kernels.bits import borrowing, compiled
from curator.kernels.counts import at, decode, signed
from curator.kernels.special_cases import Sequences, Tokens, find_sequences, put_cases


@compiled
def make_room(data: np.ndarray, size: int) -> tuple[Text, Tokens]:
    """Return room for so many code points."""
    places, cuts = np.empty(size + 1, np.int64), np.empty(size + 1, np.bool_)
    starts, stops = np.empty(size, np.int64), np.empty(size, np.int64)
    numbers, lengths, taken = np.empty(size, np.uint8), np.empty(size, np.uint32), np.empty(size, np.bool_)
    return Text(data, np.empty(size, np.uint8), places, cuts), Tokens(starts, stops, numbers, lengths, taken)


@borrowing
def read_text(classes: np.ndarray, text: Text, begin: int, end: int) -> int:
    """Decode the bytes [begin, end); return the number of code points."""
    size = 0
    while begin < end:
        code, after = decode(text.data, begin)
        text.kinds[size], text.places[size], text.cuts[size] = at(classes, code), begin, False
        begin, size = after, size + 1
    text.places[size], text.cuts[size] = end, False
    return size


@borrowing
def note_tokens(tokeniser: Affixes, text: Text, tokens: Tokens, count: int, low: int, high: int) -> int:
    """Write down the tokens of a chunk behind the `count` ones before; return how many there are now."""
    start = low
    for stop in range(low + 1, high + 1):
        if stop < high and not text.cuts[stop]:
            continue
        tokens.starts[count], tokens.stops[count] = start, stop
        tokens.numbers[count] = tokeniser.cases[find_case(tokeniser, text, start, stop)].head
        start, count = stop, count + 1
    return count


@borrowing
def write_text(text: Text, size: int, entry: Any, arena: np.ndarray, used: int) -> int:
    """Let an entry show the text with a space before each cut; return how much of the arena is in use."""
    n = used
    for i in range(size):
        if i > 0 and text.cuts[i]:
            arena[n] = ord(" ")
            n += 1
        for k in range(text.places[i], text.places[i + 1]):
            arena[n] = text.data[k]
            n += 1
    entry.shown, entry.shown_bytes = used, n - used
    return n


@compiled
def show_chunks(
    tokeniser: Affixes,
    sequences: Sequences,
    numbers: np.ndarray,
    entries: np.ndarray,
    arena: np.ndarray,
    filled: np.ndarray,
    longest: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write down what the entries of these numbers show, for which the arena has room: twice their bytes.

    Return (numbers, begins, ends) of the entries still to do, and the bytes that have to be known for a URL or for
    none. No chunk has more than `longest` code points.
    """
    left, begins, ends, n = np.empty_like(numbers), np.empty_like(numbers), np.empty_like(numbers), 0
    text, tokens = make_room(arena, longest)
    for number in numbers:
        entry = entries[number]
        size = read_text(tokeniser.classes, text, entry.key, entry.key + signed(entry.key_bytes))
        low, high = cut_chunk(tokeniser, text, 0, size, signed(entry.url))
        if low < high:
            left[n], begins[n], ends[n] = number, text.places[low], text.places[high]
            n += 1
            continue
        count = note_tokens(tokeniser, text, tokens, 0, 0, size)
        entry.head, entry.tail = tokens.numbers[0], tokens.numbers[count - 1]
        entry.found = find_sequences(sequences, tokens, count)
        if entry.found:
            put_cases(tokeniser, sequences, text, tokens, count)
        entry.shown, entry.shown_bytes = entry.key, entry.key_bytes
        if count > 1:
            filled[1] = write_text(text, size, entry, arena, filled[1])
    return left[:n].copy(), begins[:n].copy(), ends[:n].copy()


@compiled
def show_runs(
    tokeniser: Affixes,
    sequences: Sequences,
    data: np.ndarray,
    runs: np.ndarray,
    begins: np.ndarray,
    lengths: np.ndarray,
    ids: np.ndarray,
    entries: np.ndarray,
    arena: np.ndarray,
    filled: np.ndarray,
    longest: int,
) -> None:
    """Let the first chunk of each run (start, stop) show it all, by a new entry, and the others nothing.

    No run has more than `longest` bytes. There is room for the entries, and twice their bytes in the arena.
    """
    text, tokens = make_room(data, longest)
    for r in range(len(runs)):
        start, stop = runs[r]
        size = read_text(tokeniser.classes, text, begins[start], begins[stop - 1] + signed(lengths[stop - 1]))
        count = high = 0
        for k in range(start, stop):
            low = high + (k > start)
            high = low + 1
            while text.places[high] < begins[k] + signed(lengths[k]):
                high += 1
            cut_chunk(tokeniser, text, low, high, signed(entries[ids[k]].url))
            count = note_tokens(tokeniser, text, tokens, count, low, high)
        if find_sequences(sequences, tokens, count):
            put_cases(tokeniser, sequences, text, tokens, count)
        entry = entries[filled[0]]
        entry.key_bytes = 0
        filled[1] = write_text(text, size, entry, arena, filled[1])
        ids[start + 1 : stop], ids[start] = 0, filled[0]
        filled[0] += 1
