"""Count how much of a text repeated n-grams of words make up. An `index` is that of curator.kernels.word_counts.

Exact, but most places are ruled out first by a `sieve`: a table of small counts by hash, without keys.
`Scratch` is room for it all: a space for hash tables (curator.kernels.repeats), the sieve (uint8), places and
times (words uint32), repeats (words bool), keys (words, 2 uint64).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.bits import BLOCK, compiled, fold_multiply, load64, trailing_zeros
from curator.kernels.counts import ONE, at, equal, signed
from curator.kernels.marks import below
from curator.kernels.repeats import empty_table, filled_bits, seen_before
from curator.kernels.word_counts import FACTOR, SEED, WIDTH, Hash, Index, copy_word

Scratch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
LARGEST_SIEVE = 1 << 24  # bytes: enough for a million words, texts of 6 MB
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
def sieve_size(words: int) -> int:
    """Return the size of a sieve: a power of two, 16 slots a word at least, so that few share one by chance; but not
    beyond what a cache holds."""
    return min(filled_bits(16 * words + 64) + 1, LARGEST_SIEVE)


@compiled
def clean(sieve: np.ndarray, words: int) -> np.ndarray:
    """Return the part of the sieve that so many words need, cleared."""
    part = sieve[: sieve_size(words)]
    part[:] = 0
    return part


@compiled
def note(sieve: np.ndarray, key: Hash) -> None:
    """Note a key in its slot, once or more often: 1, or 2. There is no branch in it, so it costs little."""
    slot = key >> np.uint64(24) & np.uint64(len(sieve) - 1)
    sieve[slot] = min(np.uint8(sieve[slot] + np.uint8(1)), np.uint8(2))


@compiled
def noted_twice(sieve: np.ndarray, key: Hash) -> bool:
    """Tell whether the key may have been noted twice; false if it surely was not."""
    return bool(sieve[key >> np.uint64(24) & np.uint64(len(sieve) - 1)] > 1)


@compiled
def list_pairs(words: int, hashes: np.ndarray, sieve: np.ndarray, places: np.ndarray) -> int:
    """Fill `places` with the words at which a 2-gram starts that may repeat; return how many."""
    slots, many = clean(sieve, words), 0
    for i in range(words - 1):
        note(slots, hash_ngram(hashes, i, 2))
    for i in range(words - 1):
        places[many] = i
        many += noted_twice(slots, hash_ngram(hashes, i, 2))
    return many


@compiled
def keep_longer(places: np.ndarray, repeats: np.ndarray) -> int:
    """Move to the front those of `places` at which an n-gram may repeat, and return how many: both its (n - 1)-grams
    do, as `repeats` tells of each word, which is cleared."""
    many = 0
    for place in places:
        i = signed(place)
        places[many] = i
        many += repeats[i] & repeats[i + 1]
        repeats[i] = False
    return many


@compiled
def top_ngram(
    n: int,
    words: int,
    hashes: np.ndarray,
    places: np.ndarray,
    space: np.ndarray,
    times: np.ndarray,
    repeats: np.ndarray,
) -> tuple[int, int]:
    """Return where the most frequent n-gram is first, of several the one that comes first, and how often it is.

    places   # the words at which an n-gram starts that may repeat
    times    # (words) uint32: scratch
    repeats  # (words) bool, false: set where the n-gram at a word occurs twice
    """
    table, place_bits = empty_table(space, len(places)), filled_bits(words)
    most, best = 1, 0
    for place in places:
        i = signed(place)
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
def repeated_ngrams(
    n: int, words: int, index: Index, places: np.ndarray, space: np.ndarray, repeats: np.ndarray
) -> int:
    """Return the characters, with single spaces, of the n-grams that stand earlier already, each character once
    where they overlap (NeMo Curator). `places` and `repeats` are as in `top_ngram`; all that repeat are set."""
    _, hashes, _, ends = index
    table, place_bits = empty_table(space, len(places)), filled_bits(words)
    total = covered = 0  # the first word behind what is counted
    for place in places:
        i = signed(place)
        first = first_place(table, hash_ngram(hashes, i, n), i, place_bits)
        if first < i:
            repeats[i] = repeats[first] = True
            begin = max(i, covered)
            total += end_of(ends, i + n) - end_of(ends, begin) + min(i + n - begin, n - 1)
            covered = i + n
    return total


@compiled
def recurring_ngrams(n: int, ends: np.ndarray, places: np.ndarray, repeats: np.ndarray) -> int:
    """Return the characters, without spaces, of the n-grams that occur more than once, all occurrences, each with
    all its words where they overlap (dolma). `places` and `repeats` are those `repeated_ngrams` has set."""
    total = 0
    for place in places:
        i = signed(place)
        if repeats[i]:
            total += end_of(ends, i + n) - end_of(ends, i)
    return total


@compiled
def all_ngrams(n: int, words: int, ends: np.ndarray) -> int:
    """Return the characters, without spaces, of all n-grams of a text of n words or more, each with all its words.

    Those of the n-gram at word i are ends[i + n] - ends[i]; in their sum all but n ends at each side meet and go.
    """
    total = 0
    for k in range(n):
        total += end_of(ends, words - k) - end_of(ends, k)
    return total


@compiled
def fingerprint(letters: np.ndarray, start: int) -> Hash:
    """Return a hash of FINGERPRINT letters."""
    return fold_multiply(load64(letters, start) ^ SEED, load64(letters, start + 8) ^ FACTOR)


@compiled
def list_repeats(shortest: int, words: int, index: Index, sieve: np.ndarray, places: np.ndarray) -> int:
    """Fill `places` with the words at which an n-gram of `shortest` or more words may repeat; return how many.

    It repeats only where its first FINGERPRINT bytes do (spaces do not count), or it is shorter. Bytes behind
    the last word are read, whatever they are: they only make a fingerprint that is not asked for.
    """
    letters, _, stops, _ = index
    slots, many = clean(sieve, words), 0
    for i in range(words - shortest + 1):
        note(slots, fingerprint(letters, end_of(stops, i)))
    for i in range(words - shortest + 1):
        start = end_of(stops, i)
        is_short = end_of(stops, i + shortest) - start < FINGERPRINT
        places[many] = i
        many += is_short | noted_twice(slots, fingerprint(letters, start))
    return many


@compiled
def hash_spans(n: int, shortest: int, words: int, index: Index, places: np.ndarray, keys: np.ndarray) -> None:
    """Fill keys[:, 0] with hashes of the letters of the n-grams that start at the places; they are 0 where the text
    ends before. keys[:, 1] holds what `n` and `n - 1` have in common: call it for `shortest` first, then for
    each longer one."""
    letters, _, stops, _ = index
    for k in range(len(places)):
        i = signed(places[k])
        keys[k, 0] = 0
        if i + n > words:
            continue
        start, stop = end_of(stops, i), end_of(stops, i + n)
        value, place = SEED, start
        if n > shortest:
            value, place = keys[k, 1], start + (end_of(stops, i + n - 1) - start) // WIDTH * WIDTH
        while place + WIDTH <= stop:
            value = fold_multiply(value ^ load64(letters, place), FACTOR)
            place += WIDTH
        keys[k, 1] = value
        tail = load64(letters, place) & below(8 * (stop - place))
        keys[k, 0] = fold_multiply(value ^ tail, FACTOR ^ np.uint64(stop - start)) | ONE


@compiled
def duplicate_ngrams(
    n: int, index: Index, places: np.ndarray, keys: np.ndarray, space: np.ndarray, sieve: np.ndarray
) -> int:
    """Return the characters, without spaces, of the n-grams that stand earlier already.

    A duplicate is counted once: reading goes on behind it. Only `places`, of `list_repeats`, are looked at;
    `keys` are theirs. Equal is what reads alike without spaces.
    """
    ends = index[3]
    slots = clean(sieve, len(places))
    for key in keys[:, 0]:
        note(slots, key)
    table = empty_table(space, len(places))
    total = free = 0  # the first word behind the last duplicate
    for k in range(len(places)):
        i, key = signed(places[k]), keys[k, 0]
        if not noted_twice(slots, key) or i < free or key == 0:
            continue
        if seen_before(table, key):
            total += end_of(ends, i + n) - end_of(ends, i)
            free = i + n
    return total


@compiled
def same_bytes(text: np.ndarray, i: int, needle: np.ndarray) -> bool:
    """Tell whether the needle stands at byte i."""
    k = 0
    while k < len(needle) and at(text, i + k) == at(needle, k):
        k += 1
    return k == len(needle)


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
    text: np.ndarray, index: Index, scratch: Scratch, needle: np.ndarray, deletes: bool, repeating: bool, row: Any
) -> None:
    """Count the characters of the most frequent 2- to 4-grams, all their occurrences, with single spaces and
    without; and if asked those that go when they are deleted, and those of 5- to 10-grams that repeat.

    Where there are fewer than n words, all characters go: NeMo Curator rejects such a text.
    """
    space, sieve, places, times, repeats, _ = scratch
    words, hashes, ends = row.words, index[1], index[3]
    top, top_letters, gone = np.zeros(5, np.int64), np.zeros(5, np.int64), np.full(11, row.characters)
    repeats[: words + 1] = False
    many = list_pairs(words, hashes, sieve, places)
    for n in range(2, min(4, words) + 1):
        many = many if n == 2 else keep_longer(places[:many], repeats)
        best, most = top_ngram(n, words, hashes, places[:many], space, times, repeats)
        top_letters[n] = (end_of(ends, best + n) - end_of(ends, best)) * most
        top[n] = top_letters[n] + (n - 1) * most
        if deletes:
            gone[n] = deleted_by(text, best, n, index, needle)
    row.top_2_gram, row.top_3_gram, row.top_4_gram = top[2], top[3], top[4]
    row.top_2_gram_letters, row.top_3_gram_letters, row.top_4_gram_letters = (
        top_letters[2],
        top_letters[3],
        top_letters[4],
    )
    row.deleted_2_gram, row.deleted_3_gram, row.deleted_4_gram = gone[2], gone[3], gone[4]
    if repeating:
        count_repeating_ngrams(many, index, scratch, row)


@compiled
def count_repeating_ngrams(many: int, index: Index, scratch: Scratch, row: Any) -> None:
    """Count the characters of the 5- to 10-grams that repeat, and those of all. The first `many` places of scratch, and
    its repeats, are those of the 4-grams."""
    space, _, places, _, repeats, _ = scratch
    words, ends = row.words, index[3]
    gone, recurring, whole = np.full(11, row.characters), np.zeros(11, np.int64), np.zeros(11, np.int64)
    for n in range(5, min(10, words) + 1):
        many = keep_longer(places[:many], repeats)
        gone[n] = repeated_ngrams(n, words, index, places[:many], space, repeats)
        recurring[n] = recurring_ngrams(n, ends, places[:many], repeats)
        whole[n] = all_ngrams(n, words, ends)
    row.repeated_5_gram, row.repeated_6_gram, row.repeated_7_gram = gone[5], gone[6], gone[7]
    row.repeated_8_gram, row.repeated_9_gram, row.repeated_10_gram = gone[8], gone[9], gone[10]
    row.recurring_5_gram, row.recurring_6_gram, row.recurring_7_gram = recurring[5], recurring[6], recurring[7]
    row.recurring_8_gram, row.recurring_9_gram, row.recurring_10_gram = recurring[8], recurring[9], recurring[10]
    row.all_5_gram, row.all_6_gram, row.all_7_gram = whole[5], whole[6], whole[7]
    row.all_8_gram, row.all_9_gram, row.all_10_gram = whole[8], whole[9], whole[10]


@compiled
def count_duplicate_ngrams(index: Index, scratch: Scratch, row: Any) -> None:
    """Count the characters of the duplicate 5- to 10-grams."""
    space, sieve, room, _, _, all_keys = scratch
    places = room[: list_repeats(5, row.words, index, sieve, room)]
    keys = all_keys[: len(places)]
    found = np.empty(11, np.int64)
    for n in range(5, 11):
        hash_spans(n, 5, row.words, index, places, keys)
        found[n] = duplicate_ngrams(n, index, places, keys, space, sieve)
    row.duplicate_5_gram, row.duplicate_6_gram, row.duplicate_7_gram = found[5], found[6], found[7]
    row.duplicate_8_gram, row.duplicate_9_gram, row.duplicate_10_gram = found[8], found[9], found[10]
