"""Count how much of a text repeats: lines, paragraphs and word n-grams, in compiled loops.

All are compared by 64-bit polynomial hashes, not letter by letter: two different ones pass for equal
with odds of about 1 in 10^19, in all pairs of a text of a million words of 1 in 10^7.

An `index` of a text's words is what `counts.count_words` fills, and a table of powers:
    hashes  # (characters of words + 1) uint64: hash of the words' first i characters, without spaces
    ends    # (words + 1) uint32: characters of the first i words
    powers  # (POWERS,) uint64: BASE ** i
A `space` is uint64 scratch for hash tables; the functions take what they need of it and no more.
"""

from typing import Any

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.counts import BASE, at, characters, signed, skip_spaces, trim_spaces

Hash = Any  # uint64
Index = tuple[np.ndarray, np.ndarray, np.ndarray]

POWERS = 1 << 10  # n-grams are seldom longer
BASE2, BASE3, BASE4 = (np.uint64(pow(int(BASE), n, 1 << 64)) for n in (2, 3, 4))
FINGERPRINT = 16  # characters, the fastest of 12, 16 and 20


def base_powers() -> np.ndarray:
    """Return uint64 (POWERS,): BASE ** i, modulo 2 ** 64."""
    return BASE ** np.arange(POWERS, dtype=np.uint64)


@compiled
def mix(value: Hash) -> Hash:
    """Spread a polynomial hash over all 64 bits; never 0."""
    value = (value ^ value >> np.uint64(32)) * np.uint64(0xD6E8FEB86659FD93)
    return (value ^ value >> np.uint64(32)) | np.uint64(1)


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
def hash_bytes(text: np.ndarray, start: int, stop: int) -> Hash:
    """Return the polynomial hash of text[start:stop], by four bytes: they wait for one product only."""
    value = np.uint64(0)
    i = start
    while i + 4 <= stop:
        high = shifted(text, i, BASE3) + shifted(text, i + 1, BASE2)
        low = shifted(text, i + 2, BASE) + shifted(text, i + 3, np.uint64(1))
        value = value * BASE4 + (high + low)
        i += 4
    while i < stop:
        value = value * BASE + shifted(text, i, np.uint64(1))
        i += 1
    return mix(value)


@compiled
def shifted(text: np.ndarray, i: int, factor: Hash) -> Hash:
    """Return what byte i adds to a hash, whose power of BASE is `factor`; no byte adds 0."""
    return (np.uint64(at(text, i)) + np.uint64(1)) * factor


@compiled
def next_newlines(text: np.ndarray, i: int, stop: int, least: int) -> tuple[int, int]:
    """Return where the first run of `least` or more newlines in text[i:stop] starts, and where it ends."""
    while i < stop:
        if at(text, i) == ord("\n"):
            start = i
            while i < stop and at(text, i) == ord("\n"):
                i += 1
            if i - start >= least:
                return start, i
        else:
            i += 1
    return stop, stop


@compiled
def count_repeats(text: np.ndarray, start: int, stop: int, least: int, table: np.ndarray) -> tuple[int, int, int]:
    """Split text[start:stop] at runs of `least` or more newlines, as re.split does.

    Return the number of pieces, of pieces that stand earlier already, and the characters of these.
    """
    pieces = duplicates = duplicate_characters = 0
    i = after = start
    while True:
        i = after
        end, after = next_newlines(text, i, stop, least)
        pieces += 1
        if seen_before(table, hash_bytes(text, i, end)):
            duplicates += 1
            duplicate_characters += characters(text[i:end])
        if end == after:
            return pieces, duplicates, duplicate_characters


@compiled
def newline_runs(text: np.ndarray) -> int:
    """Count the runs of newlines."""
    total = np.uint32(0)
    for i in range(len(text) - 1):
        total += np.uint32((text[i] == ord("\n")) & (text[i + 1] != ord("\n")))
    return signed(total) + 1


@compiled
def count_line_repeats(text: np.ndarray, classes: np.ndarray, space: np.ndarray, row: Any) -> None:
    """Count duplicate lines (parts between newlines) and paragraphs (parts of the stripped text
    between empty lines)."""
    pieces = newline_runs(text) + 1
    row.split_lines, row.duplicate_lines, row.duplicate_line_characters = count_repeats(
        text, 0, len(text), 1, empty_table(space, pieces)
    )
    start = skip_spaces(text, classes, 0)
    stop = trim_spaces(text, classes, start, len(text))
    row.paragraphs, row.duplicate_paragraphs, row.duplicate_paragraph_characters = count_repeats(
        text, start, stop, 2, empty_table(space, pieces)
    )


@compiled
def power(powers: np.ndarray, n: int) -> Hash:
    """Return BASE ** n."""
    if n < POWERS:
        return at(powers, n)
    value = at(powers, n % POWERS)
    for _ in range(n // POWERS):
        value *= at(powers, POWERS - 1) * BASE
    return value


@compiled
def hash_span(hashes: np.ndarray, powers: np.ndarray, start: int, stop: int) -> Hash:
    """Return the hash of the words' characters [start, stop), from the hashes of all up to each."""
    return at(hashes, stop) - at(hashes, start) * power(powers, stop - start)


@compiled
def end_of(ends: np.ndarray, i: int) -> int:
    """Return the number of characters in the first i words."""
    return signed(at(ends, i))


@compiled
def hash_ngram(i: int, n: int, index: Index) -> Hash:
    """Return the hash of words i to i + n, told apart by where each ends: "ab c" is not "a bc"."""
    hashes, ends, powers = index
    start = end_of(ends, i)
    value = hash_span(hashes, powers, start, end_of(ends, i + n))
    for j in range(i + 1, i + n):
        value = value * BASE + np.uint64(end_of(ends, j) - start)
    return mix(value)


@compiled
def first_place(table: np.ndarray, key: Hash, i: int, place_bits: int) -> int:
    """Return the first place noted with this key, which is i itself when there is none; and note it.

    An entry is the key with its low bits, those set in `place_bits`, replaced by the place + 1. The
    slot stands for the lost bits, so a false match is about as rare as with whole keys.
    """
    place = np.uint64(place_bits)
    mask = np.uint64(len(table) - 1)
    slot = key >> np.uint64(1) & mask
    while table[slot] != 0:
        if (table[slot] ^ key) & ~place == 0:
            return signed(table[slot] & place) - 1
        slot = slot + np.uint64(1) & mask
    table[slot] = key & ~place | np.uint64(i + 1)
    return i


@compiled
def top_ngram(n: int, words: int, index: Index, space: np.ndarray, times: np.ndarray, repeats: np.ndarray) -> int:
    """Return the characters, with single spaces, of all occurrences of the most frequent n-gram;
    of several, the one that comes first.

    repeats  # (words) bool: whether the (n - 1)-gram at a word occurs twice; becomes that of the n-gram
    times    # (words) uint32: scratch
    An n-gram only repeats where both its (n - 1)-grams do.
    """
    places = words - n + 1
    if places <= 0:
        return 0
    candidates = 0
    for i in range(places):
        candidates += repeats[i] & repeats[i + 1]
    table, place_bits = empty_table(space, candidates), filled_bits(words)
    most, best = 1, 0
    for i in range(places):
        is_candidate = repeats[i] & repeats[i + 1]
        repeats[i] = False
        if not is_candidate:
            continue
        first = first_place(table, hash_ngram(i, n, index), i, place_bits)
        times[first] = times[first] + 1 if first < i else 1
        if first < i:
            repeats[i] = repeats[first] = True
            if times[first] > most or (times[first] == most and first < best):
                most, best = signed(times[first]), first
    return (end_of(index[1], best + n) - end_of(index[1], best) + n - 1) * most


@compiled
def mark_repeats(shortest: int, words: int, index: Index, space: np.ndarray, repeats: np.ndarray) -> None:
    """Set repeats[i] where an n-gram of `shortest` or more words that starts at word i may repeat.

    It repeats only where its first FINGERPRINT characters do (spaces do not count), or it is shorter.
    """
    hashes, ends, powers = index
    table, place_bits = empty_table(space, words), filled_bits(words)
    for i in range(words):
        repeats[i] = False
        if i + shortest > words:
            continue
        start = end_of(ends, i)
        if end_of(ends, i + shortest) - start < FINGERPRINT:
            repeats[i] = True
        if start + FINGERPRINT > end_of(ends, words):
            continue
        key = mix(hash_span(hashes, powers, start, start + FINGERPRINT))
        first = first_place(table, key, i, place_bits)
        if first < i:
            repeats[i] = repeats[first] = True


@compiled
def duplicate_ngrams(n: int, words: int, index: Index, space: np.ndarray, places: np.ndarray) -> int:
    """Return the characters, without spaces, of the n-grams that stand earlier already.

    A duplicate is counted once: reading goes on behind it. Only `places`, the words where `mark_repeats`
    found that an n-gram may repeat, are looked at.
    """
    hashes, ends, powers = index
    table = empty_table(space, len(places))
    total = 0
    free = 0  # the first word behind the last duplicate
    for place in places:
        i = signed(place)
        if i < free or i + n > words:
            continue
        start, stop = end_of(ends, i), end_of(ends, i + n)
        if seen_before(table, mix(hash_span(hashes, powers, start, stop))):
            total += stop - start
            free = i + n
    return total


@compiled
def count_ngrams(
    words: int, index: Index, space: np.ndarray, scratch: np.ndarray, repeats: np.ndarray, row: Any
) -> None:
    """Count the characters of the most frequent 2- to 4-grams and of the duplicate 5- to 10-grams."""
    repeats[:words] = True
    row.top_2_gram = top_ngram(2, words, index, space, scratch, repeats)
    row.top_3_gram = top_ngram(3, words, index, space, scratch, repeats)
    row.top_4_gram = top_ngram(4, words, index, space, scratch, repeats)
    mark_repeats(5, words, index, space, repeats)
    many = 0
    for i in range(words):
        scratch[many] = i
        many += repeats[i]
    places = scratch[:many]
    row.duplicate_5_gram = duplicate_ngrams(5, words, index, space, places)
    row.duplicate_6_gram = duplicate_ngrams(6, words, index, space, places)
    row.duplicate_7_gram = duplicate_ngrams(7, words, index, space, places)
    row.duplicate_8_gram = duplicate_ngrams(8, words, index, space, places)
    row.duplicate_9_gram = duplicate_ngrams(9, words, index, space, places)
    row.duplicate_10_gram = duplicate_ngrams(10, words, index, space, places)
