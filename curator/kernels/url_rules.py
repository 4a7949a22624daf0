"""Tables of millions of rules for URLs: names of hosts, beginnings of URLs, and patterns.

A URL is looked at as `scheme://host/path?query`, in ASCII lower case, without user, port and fragment. Three kinds
of rules:

host     `example.com`: that host and those below it
prefix   `example.com/a/b`: a URL of such a host whose path begins so, up to its end or one of / ? &
pattern  AdBlock's: `*` any bytes, `^` one that is no letter, digit, _ - . or %, or the end of the URL; it begins
         anywhere, at the URL's begin, or where a label of the host begins, and ends anywhere or at the URL's end

Hosts and prefixes lie in one table by 64-bit hashes, in front of it a Bloom filter. A pattern is looked for where the
URL holds four of its bytes, those that fewest patterns hold, and those around them. `curator.kernels.url_matching`
matches with these tables.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.shingles import frozen
from curator.kernels.url_parts import ROOM, SEED, find_byte, hash_part, label_start, scratch, segment_end, write_lower

SPARSE = 12  # bits of a Bloom filter for each rule
GRAM = 4  # bytes of a pattern that it is found by
GRAM_BITS = 18  # of the hash of a gram: its bitmap takes 32 KB
BUCKET_BITS = 12  # of that hash, for the table of words
SPREAD = np.uint32(0x9E3779B1)
FREE, BEGIN, LABEL = 0, 1, 2  # where a pattern may begin
STAR, SEPARATOR = np.uint8(42), np.uint8(94)


class Names(NamedTuple):
    """Host and prefix rules, by hash."""

    keys: np.ndarray  # uint64, ascending
    rules: np.ndarray  # int32: the number of each key's rule
    starts: np.ndarray  # int32 (a power of two, + 1): where the keys begin that have these high bits
    marks: np.ndarray  # uint64: a Bloom filter of the keys
    gate: np.ndarray  # uint64: one of the hosts of prefixes; empty where there are none
    offsets: np.ndarray  # int64 (rules + 1)
    data: np.ndarray  # uint8: the rules' texts


class Patterns(NamedTuple):
    """Pattern rules, by the gram that each is found by."""

    offsets: np.ndarray  # int64 (patterns + 1)
    data: np.ndarray  # uint8: their bytes, anchors off
    begins: np.ndarray  # uint8: FREE, BEGIN or LABEL
    closed: np.ndarray  # bool: ends at the URL's end
    spares: np.ndarray  # bool: a URL that matches is let through
    words: np.ndarray  # uint64: the gram and bytes around it, up to eight in a row
    masks: np.ndarray  # uint64: which bytes of a word the pattern holds
    backs: np.ndarray  # int32: how many of them are before the gram
    owners: np.ndarray  # int32: the pattern of each word
    places: np.ndarray  # int32: the gram's byte in the pattern, -1 behind a `*`
    starts: np.ndarray  # int32 ((1 << BUCKET_BITS) + 1): where the words begin whose gram has these high bits as hash
    marks: np.ndarray  # uint64 (1 << GRAM_BITS - 6): bitmap of the grams' hashes
    short: np.ndarray  # int32: patterns without four bytes in a row, tried on every URL


def names(offsets: np.ndarray, data: np.ndarray) -> Names:
    """Return host and prefix rules as a table; offsets int64 (rules + 1) into data, uint8, in lower case.

    Memory: 16 bytes a rule beside its text.
    """
    keys, hosts = _rule_keys(frozen(offsets), frozen(data), scratch(offsets))
    order = np.argsort(keys, kind="stable")
    keys, hosts = keys[order], np.unique(hosts[hosts != 0])
    marks, gate = (np.zeros(-(-len(hashes) * SPARSE // 64), np.uint64) for hashes in (keys, hosts))
    _mark(marks, keys)
    _mark(gate, hosts)
    bits = max(1, len(keys).bit_length() - 2)
    starts = _starts(keys >> np.uint64(64 - bits), 1 << bits)
    return Names(keys, order.astype(np.int32), starts, marks, gate, frozen(offsets), frozen(data))


def patterns(
    offsets: np.ndarray, data: np.ndarray, begins: np.ndarray, closed: np.ndarray, spares: np.ndarray
) -> Patterns:
    """Return pattern rules, each indexed by the four bytes of it that fewest of them hold."""
    offsets, data = frozen(offsets), frozen(data)
    grams, owners, places = _all_grams(offsets, data)
    _, inverse, counts = np.unique(grams, return_inverse=True, return_counts=True)
    order = np.lexsort((inverse, counts[inverse], owners))  # of each pattern the rarest first
    found, at = np.unique(owners[order], return_index=True)
    hashes = _gram_hashes(grams[order[at]])
    chosen = order[at][np.argsort(hashes, kind="stable")]
    hashes, owners, places = np.sort(hashes), owners[chosen], places[chosen]
    marks = np.zeros(1 << (GRAM_BITS - 6), np.uint64)
    np.bitwise_or.at(marks, hashes >> np.uint64(6), np.uint64(1) << (hashes & np.uint64(63)))
    starts = _starts(hashes >> np.uint64(GRAM_BITS - BUCKET_BITS), 1 << BUCKET_BITS)
    short = np.setdiff1d(np.arange(len(begins)), found).astype(np.int32)
    words, masks, backs = _words(offsets, data, owners, places)
    return Patterns(offsets, data, begins, closed, spares, words, masks, backs, owners.astype(np.int32),
                    places.astype(np.int32), starts, marks, short)  # fmt: skip


def _starts(buckets: np.ndarray, count: int) -> np.ndarray:
    """Return where each bucket's entries begin among ascending ones, and where the last ends."""
    return np.concatenate([[0], np.cumsum(np.bincount(buckets.astype(np.int64), minlength=count))]).astype(np.int32)


@compiled
def _mark(marks: np.ndarray, hashes: np.ndarray) -> None:
    for i in range(hashes.size):
        marks[_slot(marks, hashes[i])] |= _bits(hashes[i])


@compiled
def marked(marks: np.ndarray, key: np.uint64) -> bool:
    bits = _bits(key)
    return bool(marks[_slot(marks, key)] & bits == bits)


@compiled
def _slot(marks: np.ndarray, key: np.uint64) -> np.uint64:
    return np.uint64((key >> np.uint64(32)) * np.uint64(marks.size) >> np.uint64(32))


@compiled
def _bits(key: np.uint64) -> np.uint64:
    """Return the three bits of a word that a key sets: with SPARSE bits for each, one in 60 others finds them set."""
    one, low = np.uint64(1), np.uint64(63)
    return np.uint64(one << (key & low) | one << (key >> np.uint64(6) & low) | one << (key >> np.uint64(12) & low))


@compiled
def gram_hash(word: np.uint64) -> np.uint64:
    """Hash the first four bytes of a word, to GRAM_BITS."""
    return np.uint64(np.uint32(np.uint32(word) * SPREAD) >> np.uint32(32 - GRAM_BITS))


@compiled
def _gram_hashes(words: np.ndarray) -> np.ndarray:
    out = np.empty(words.size, np.uint64)
    for i in range(words.size):
        out[i] = gram_hash(words[i])
    return out


@compiled
def _rule_keys(offsets: np.ndarray, data: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the hash of each rule, and that of a prefix's host, 0 for a rule that is a host."""
    keys, hosts = np.empty(offsets.size - 1, np.uint64), np.zeros(offsets.size - 1, np.uint64)
    for rule in range(offsets.size - 1):
        stop = write_lower(data, offsets[rule], offsets[rule + 1], text, ROOM)
        path = find_byte(text, ROOM, stop, np.uint8(47))
        key, end = SEED, path
        while True:
            start = label_start(text, ROOM, end)
            key = hash_part(text, start, end, key)
            if start == ROOM:
                break
            end = start - 1
        hosts[rule] = key if path < stop else np.uint64(0)
        while path < stop:
            end = segment_end(text, path, stop)
            key = hash_part(text, path, end, key)
            path = end
        keys[rule] = key
    return keys, hosts


@compiled
def _all_grams(offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (gram, pattern, its byte there) of every four bytes in a row that are neither `*` nor `^`."""
    grams, owners = np.empty(data.size, np.uint64), np.empty(data.size, np.int64)
    places = np.empty(data.size, np.int64)
    used = 0
    for pattern in range(offsets.size - 1):
        run, gram = 0, np.uint64(0)
        for i in range(offsets[pattern], offsets[pattern + 1]):
            run = 0 if data[i] == STAR or data[i] == SEPARATOR else run + 1
            gram = gram >> np.uint64(8) | np.uint64(data[i]) << np.uint64(24)
            if run >= GRAM:
                grams[used], owners[used], places[used] = gram, pattern, i - GRAM + 1 - offsets[pattern]
                used += 1
    return grams[:used], owners[:used], places[:used]


@compiled
def _around(text: np.ndarray, place: int) -> tuple[np.uint64, np.uint64, int]:
    """Return (the up to eight bytes in a row around a pattern's gram; which they are; how many are before the gram)."""
    start, stop = place, place + GRAM
    while stop < min(text.size, place + 8) and text[stop] != STAR and text[stop] != SEPARATOR:
        stop += 1
    while start > 0 and stop - start < 8 and text[start - 1] != STAR and text[start - 1] != SEPARATOR:
        start -= 1
    word, mask = np.uint64(0), np.uint64(0)
    for i in range(start, stop):
        word |= np.uint64(text[i]) << np.uint64(8 * (i - start))
        mask |= np.uint64(255) << np.uint64(8 * (i - start))
    return word, mask, place - start


@compiled
def _words(
    offsets: np.ndarray, data: np.ndarray, owners: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `_around` of each gram; places behind a `*` become -1."""
    words, masks = np.empty(owners.size, np.uint64), np.empty(owners.size, np.uint64)
    backs = np.empty(owners.size, np.int32)
    for i in range(owners.size):
        text = data[offsets[owners[i]] : offsets[owners[i] + 1]]
        words[i], masks[i], backs[i] = _around(text, places[i])
        for before in text[: places[i]]:
            places[i] = -1 if before == STAR else places[i]
    return words, masks, backs
