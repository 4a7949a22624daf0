"""Match URLs with the tables of `curator.kernels.url_rules`.

A URL is read once. Bloom filter and bitmap tell of nearly all that no rule holds; the tables themselves are looked at
for the rest alone, and what they find is compared byte by byte.
"""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import BLOCK, compiled, leading_zeros, load64, trailing_zeros
from curator.kernels.shingles import frozen
from curator.kernels.url_parts import SEED, hash_part, label_start, read_url, scratch, segment_end
from curator.kernels.url_rules import (
    BEGIN,
    BUCKET_BITS,
    GRAM_BITS,
    LABEL,
    SEPARATOR,
    STAR,
    Names,
    Patterns,
    gram_hash,
    marked,
)

NONE = -1


def match(
    offsets: np.ndarray, data: np.ndarray, named: Names, patterned: Patterns
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each URL, (first host or prefix rule that matches, first pattern that blocks, spared, odd).

    offsets: int64 (URLs + 1) into data, uint8. Rules are their numbers, int64, -1 for none. spared: bool, matches a
    pattern that spares. odd: bool, the host could not be read as ASCII: to be made canonical (`curator.kernels.urls`)
    and matched anew. Cost: 0.2 to 0.5 us a URL.
    """
    count = len(offsets) - 1
    found, flags = np.full((2, count), NONE), np.zeros((2, count), bool)
    _match(frozen(offsets), frozen(data), named, patterned, scratch(offsets), found, flags)
    return found[0], found[1], flags[1], flags[0]


@compiled
def _match(
    offsets: np.ndarray,
    data: np.ndarray,
    named: Names,
    patterned: Patterns,
    text: np.ndarray,
    found: np.ndarray,
    flags: np.ndarray,
) -> None:
    for row in range(offsets.size - 1):
        first, host, path, stop, flags[0, row] = read_url(data, offsets[row], offsets[row + 1], text)
        if path > host and named.keys.size:  # whole tables and slices are handed on for few URLs: that takes 0.1 us
            start, key = nextmarked(text, host, path, SEED, named.marks, named.gate)
            if start >= 0:
                found[0, row] = match_names(text[first:stop], host - first, path - first, start - first, key, named)
        if patterned.begins.size:
            at = next_word(
                text, first, stop, patterned.marks, patterned.starts, patterned.words, patterned.masks, patterned.backs
            )
            if at < stop or patterned.short.size:
                url = text[first:stop]
                found[1, row], flags[1, row] = match_patterns(url, host - first, path - first, at - first, patterned)


@compiled
def nextmarked(
    text: np.ndarray, host: int, end: int, key: np.uint64, marks: np.ndarray, gate: np.ndarray
) -> tuple[int, np.uint64]:
    """Return (where the next label before `end` begins that a rule may name with all behind it, -1 for none; its hash).

    key: the hash of what lies behind `end`.
    """
    while True:
        start = label_start(text, host, end)
        key = hash_part(text, start, end, key)
        if marked(marks, key) or (gate.size and marked(gate, key)):
            return start, key
        if start == host:
            return NONE, key
        end = start - 1


@compiled
def match_names(url: np.ndarray, host: int, path: int, start: int, key: np.uint64, named: Names) -> int:
    """Return the first host or prefix rule that a URL matches, -1 for none; `start` and `key` are `next_marked`'s."""
    best = NONE
    while start >= 0:
        best = least(best, look_up(url, start, path, key, named))
        if named.gate.size and marked(named.gate, key):
            best = least(best, match_prefixes(url, start, path, key, named))
        if start == host:
            break
        start, key = nextmarked(url, host, start - 1, key, named.marks, named.gate)
    return best


@compiled
def match_prefixes(url: np.ndarray, start: int, path: int, key: np.uint64, named: Names) -> int:
    """Return the first rule that a URL matches whose host is url[start:path], of hash `key`; -1 for none."""
    best, at = NONE, path
    while at < url.size:
        end = segment_end(url, at, url.size)
        key = hash_part(url, at, end, key)
        if marked(named.marks, key):
            best = least(best, look_up(url, start, end, key, named))
        at = end
    return best


@compiled
def least(a: int, b: int) -> int:
    """Return the smaller of two numbers of rules, of which -1 is none."""
    return a if b < 0 else b if a < 0 else min(a, b)


@compiled
def look_up(url: np.ndarray, start: int, stop: int, key: np.uint64, named: Names) -> int:
    """Return the first rule that is url[start:stop], -1 for none."""
    bucket = key >> np.uint64(leading_zeros(np.uint64(named.starts.size - 1)) + 1)
    for place in range(named.starts[bucket], named.starts[bucket + np.uint64(1)]):
        if named.keys[place] != key:
            continue
        rule = named.rules[place]
        text = named.data[named.offsets[rule] : named.offsets[rule + 1]]
        if same_bytes(text, url, start, stop):
            return int(rule)
    return NONE


@compiled
def same_bytes(text: np.ndarray, url: np.ndarray, start: int, stop: int) -> bool:
    """Tell whether a text is url[start:stop]."""
    if text.size != stop - start:
        return False
    same = 0
    while same < text.size and text[same] == url[start + same]:
        same += 1
    return bool(same == text.size)


@compiled
def next_word(
    text: np.ndarray,
    start: int,
    stop: int,
    marks: np.ndarray,
    starts: np.ndarray,
    words: np.ndarray,
    masks: np.ndarray,
    backs: np.ndarray,
) -> int:
    """Return the first place of text[start:stop] where a gram and what is around it is a pattern's; `stop` for none."""
    while start < stop:
        hits = np.uint64(0)
        for i in range(min(BLOCK, stop - start)):
            place = gram_hash(load64(text, start + i))
            hits |= (marks[place >> np.uint64(6)] >> (place & np.uint64(63)) & np.uint64(1)) << np.uint64(i)
        while hits:
            at = start + trailing_zeros(hits)
            bucket = gram_hash(load64(text, at)) >> np.uint64(GRAM_BITS - BUCKET_BITS)
            for entry in range(starts[bucket], starts[bucket + np.uint64(1)]):
                if load64(text, at - backs[entry]) & masks[entry] == words[entry]:
                    return int(at)
            hits &= hits - np.uint64(1)
        start += BLOCK
    return stop


@compiled
def match_patterns(url: np.ndarray, host: int, path: int, at: int, patterned: Patterns) -> tuple[int, bool]:
    """Return (the first pattern that blocks which a URL matches, -1 for none; whether it matches one that spares).

    at: where `next_word` found the first word.
    """
    best, spared = NONE, False
    for i in range(patterned.short.size):
        pattern = patterned.short[i]
        if fits(url, host, path, pattern, patterned, -1):
            spared = spared or patterned.spares[pattern]
            best = best if patterned.spares[pattern] else least(best, pattern)
    while at < url.size:
        bucket = gram_hash(load64(url, at)) >> np.uint64(GRAM_BITS - BUCKET_BITS)
        for entry in range(patterned.starts[bucket], patterned.starts[bucket + np.uint64(1)]):
            pattern, behind = patterned.owners[entry], patterned.places[entry]
            if load64(url, at - patterned.backs[entry]) & patterned.masks[entry] != patterned.words[entry]:
                continue
            if fits(url, host, path, pattern, patterned, -1 if behind < 0 else at - behind):
                spared = spared or patterned.spares[pattern]
                best = best if patterned.spares[pattern] else least(best, pattern)
        at = next_word(
            url, at + 1, url.size, patterned.marks, patterned.starts, patterned.words, patterned.masks, patterned.backs
        )
    return int(best), spared


@compiled
def fits(url: np.ndarray, host: int, path: int, pattern: int, patterned: Patterns, at: int) -> bool:
    """Tell whether a URL matches one pattern: from url[at] on, or from anywhere where `at` is -1."""
    text = patterned.data[patterned.offsets[pattern] : patterned.offsets[pattern + 1]]
    begins, closed = patterned.begins[pattern], patterned.closed[pattern]
    first = 0 if begins != LABEL else host
    last = 0 if begins == BEGIN else path - 1 if begins == LABEL else url.size
    if at >= 0:
        first, last = max(first, at), min(last, at)
    for start in range(first, last + 1):
        if begins == LABEL and start != host and url[start - 1] != 46:
            continue
        if fits_at(url, start, text, closed):
            return True
    return False


@compiled
def fits_at(url: np.ndarray, start: int, text: np.ndarray, closed: bool) -> bool:
    """Tell whether a pattern matches from url[start] on: greedy, with the last `*` to come back to."""
    at, read = start, 0
    star, again = -1, 0
    while True:
        if read == text.size and (not closed or at == url.size):
            return True
        if read < text.size and text[read] == STAR:
            star, again = read, at
            read += 1
            continue
        if read < text.size and at < url.size and same_byte(text[read], url[at]):
            read += 1
            at += 1
            continue
        if read < text.size and at == url.size and text[read] == SEPARATOR:
            read += 1  # the end of the URL is a separator
            continue
        if star < 0 or again >= url.size:
            return False
        again += 1
        at, read = again, star + 1


@compiled
def same_byte(wanted: np.uint8, byte: np.uint8) -> bool:
    if wanted != SEPARATOR:
        return bool(wanted == byte)
    word = 97 <= byte <= 122 or 48 <= byte <= 57 or byte == 95 or byte == 45 or byte == 46 or byte == 37
    return not word and bool(byte < 128)
