"""Count how much of a text repeated n-grams of words make up. An `index` is that of curator.kernels.word_counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.bits import BLOCK, compiled, fold_multiply, load64, trailing_zeros
from curator.kernels.counts import ONE, at, equal, signed
from curator.kernels.repeats import empty_table, filled_bits, seen_before
from curator.kernels.word_counts import FACTOR, SEED, Hash, Index, copy_word, hash_bytes

FINGERPRINT = 16  # bytes: two loads


@compiled
def end_of(ends: np.ndarray, i: int) -> int:
    """Return the number of characters (of `stops`: bytes) in the first i words."""
    return signed(at(ends, i))


@compiled
def hash_ngram(hashes: np.ndarray, i: int, n: int) -> Hash:
    """Return the hash of words i to i + n; "ab c" is not "a bc"."""
    value = at(hashes, i)
    for j in range(i + 1, i + n):
        value = value * SEED + at(hashes, j)
    value = (value ^ value >> np.uint64(32)) * FACTOR
    return (value ^ value >> np.uint64(32)) | ONE


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
def candidates(places: int, repeats: np.ndarray) -> int:
    """Count the n-grams that may repeat: both their (n - 1)-grams do."""
    many = 0
    for i in range(places):
        many += repeats[i] & repeats[i + 1]
    return many


@compiled
def top_ngram(
    n: int, words: int, hashes: np.ndarray, space: np.ndarray, times: np.ndarray, repeats: np.ndarray
) -> tuple[int, int]:
    """Return where the most frequent n-gram is first, of several the one that comes first, and how often it is.

    repeats  # (words) bool: whether the (n - 1)-gram at a word occurs twice; becomes that of the n-gram
    times    # (words) uint32: scratch
    An n-gram only repeats where both its (n - 1)-grams do.
    """
    places = words - n + 1
    table, place_bits = empty_table(space, candidates(places, repeats)), filled_bits(words)
    most, best = 1, 0
    for i in range(places):
        is_candidate = repeats[i] & repeats[i + 1]
        repeats[i] = False
        if not is_candidate:
            continue
        first = first_place(table, hash_ngram(hashes, i, n), i, place_bits)
        if first == i:
            times[i] = 1
            continue
        count = signed(times[first]) + 1
        times[first] = count
        repeats[i] = repeats[first] = True
        if count > most or (count == most and first < best):
            most, best = count, first
    return best, most


@compiled
def repeated_ngrams(n: int, words: int, index: Index, space: np.ndarray, repeats: np.ndarray) -> int:
    """Return the characters, with single spaces, of the n-grams that stand earlier already, each character once
    where they overlap (NeMo Curator).

    repeats  # as in `top_ngram`
    """
    _, hashes, _, ends = index
    places = words - n + 1
    many = candidates(places, repeats)
    if many == 0:
        repeats[:places] = False
        return 0
    table, place_bits = empty_table(space, many), filled_bits(words)
    total = covered = 0  # the first word behind what is counted
    for i in range(places):
        is_candidate = repeats[i] & repeats[i + 1]
        repeats[i] = False
        if not is_candidate:
            continue
        first = first_place(table, hash_ngram(hashes, i, n), i, place_bits)
        if first < i:
            repeats[i] = repeats[first] = True
            begin = max(i, covered)
            total += end_of(ends, i + n) - end_of(ends, begin) + min(i + n - begin, n - 1)
            covered = i + n
    return total


@compiled
def mark_repeats(shortest: int, words: int, index: Index, space: np.ndarray, repeats: np.ndarray) -> None:
    """Set repeats[i] where an n-gram of `shortest` or more words that starts at word i may repeat.

    It repeats only where its first FINGERPRINT bytes do (spaces do not count), or it is shorter.
    """
    letters, _, stops, _ = index
    table, place_bits = empty_table(space, words), filled_bits(words)
    size = end_of(stops, words)
    for i in range(words):
        repeats[i] = False
        if i + shortest > words:
            continue
        start = end_of(stops, i)
        if end_of(stops, i + shortest) - start < FINGERPRINT:
            repeats[i] = True
        if start + FINGERPRINT > size:
            continue
        key = fold_multiply(load64(letters, start) ^ SEED, load64(letters, start + 8) ^ FACTOR) | ONE
        first = first_place(table, key, i, place_bits)
        if first < i:
            repeats[i] = repeats[first] = True


@compiled
def duplicate_ngrams(n: int, words: int, index: Index, space: np.ndarray, places: np.ndarray) -> int:
    """Return the characters, without spaces, of the n-grams that stand earlier already.

    A duplicate is counted once: reading goes on behind it. Only `places`, the words where `mark_repeats`
    found that an n-gram may repeat, are looked at. Equal is what reads alike without spaces.
    """
    letters, _, stops, ends = index
    table = empty_table(space, len(places))
    total = 0
    free = 0  # the first word behind the last duplicate
    for place in places:
        i = signed(place)
        if i < free or i + n > words:
            continue
        if seen_before(table, hash_bytes(letters, end_of(stops, i), end_of(stops, i + n))):
            total += end_of(ends, i + n) - end_of(ends, i)
            free = i + n
    return total


@compiled
def same_bytes(text: np.ndarray, i: int, needle: np.ndarray) -> bool:
    """Tell whether the needle stands at byte i."""
    for k in range(len(needle)):
        if at(text, i + k) != at(needle, k):
            return False
    return True


@compiled
def times_in(text: np.ndarray, needle: np.ndarray) -> int:
    """Count the needle in the text as str.count does: apart from each other."""
    size = len(needle)
    middle = size // 2
    found = free = 0
    for i in range(0, len(text) - size + 1, BLOCK):
        places = equal(text, i, needle[0]) & equal(text, i + middle, needle[middle])
        places &= equal(text, i + size - 1, needle[size - 1])
        while places:
            place = i + trailing_zeros(places)
            places &= places - ONE
            if place >= free and place + size <= len(text) and same_bytes(text, place, needle):
                found += 1
                free = place + size
    return found


@compiled
def deleted_by(text: np.ndarray, best: int, n: int, index: Index, needle: np.ndarray) -> int:
    """Return the characters that go when words best to best + n, with single spaces between, are deleted from the
    text wherever they stand, in the middle of words too (NeMo Curator).

    needle  # uint8: scratch
    """
    letters, _, stops, ends = index
    size = 0
    for i in range(best, best + n):
        start, stop = end_of(stops, i), end_of(stops, i + 1)
        copy_word(letters, start, stop, needle, size)
        size += stop - start + 1
        needle[size - 1] = ord(" ")
    characters = end_of(ends, best + n) - end_of(ends, best) + n - 1
    return characters * times_in(text, needle[: size - 1])


@compiled
def count_top_ngrams(
    text: np.ndarray,
    index: Index,
    space: np.ndarray,
    times: np.ndarray,
    repeats: np.ndarray,
    needle: np.ndarray,
    deletes: bool,
    row: Any,
) -> None:
    """Count the characters, with single spaces, of the most frequent 2- to 4-grams, all their occurrences; and if
    asked those that go when they are deleted, with those of repeated 5- to 10-grams.

    Where there are fewer than n words, all characters go: NeMo Curator rejects such a text.
    """
    words, ends = row.words, index[3]
    top, gone = np.zeros(5, np.int64), np.full(11, row.characters)
    repeats[:words] = True
    for n in range(2, min(4, words) + 1):
        best, most = top_ngram(n, words, index[1], space, times, repeats)
        top[n] = (end_of(ends, best + n) - end_of(ends, best) + n - 1) * most
        if deletes:
            gone[n] = deleted_by(text, best, n, index, needle)
    row.top_2_gram, row.top_3_gram, row.top_4_gram = top[2], top[3], top[4]
    if not deletes:
        return
    for n in range(5, min(10, words) + 1):
        gone[n] = repeated_ngrams(n, words, index, space, repeats)
    row.deleted_2_gram, row.deleted_3_gram, row.deleted_4_gram = gone[2], gone[3], gone[4]
    row.repeated_5_gram, row.repeated_6_gram, row.repeated_7_gram = gone[5], gone[6], gone[7]
    row.repeated_8_gram, row.repeated_9_gram, row.repeated_10_gram = gone[8], gone[9], gone[10]


@compiled
def count_duplicate_ngrams(
    index: Index, space: np.ndarray, scratch: np.ndarray, repeats: np.ndarray, row: Any
) -> None:
    """Count the characters of the duplicate 5- to 10-grams."""
    words = row.words
    mark_repeats(5, words, index, space, repeats)
    many = 0
    for i in range(words):
        scratch[many] = i
        many += repeats[i]
    found = np.empty(11, np.int64)
    for n in range(5, 11):
        found[n] = duplicate_ngrams(n, words, index, space, scratch[:many])
    row.duplicate_5_gram, row.duplicate_6_gram, row.duplicate_7_gram = found[5], found[6], found[7]
    row.duplicate_8_gram, row.duplicate_9_gram, row.duplicate_10_gram = found[8], found[9], found[10]
