"""Match URLs with millions of rules: names of hosts, beginnings of URLs, and patterns.

A URL is looked at as `scheme://host/path?query`, in ASCII lower case, without user, port and fragment. Three kinds
of rules:

host     `example.com`: that host and those below it
prefix   `example.com/a/b`: a URL of such a host whose path begins so, up to its end or one of / ? &
pattern  AdBlock's: `*` any bytes, `^` one that is no letter, digit, _ - . or %, or the end of the URL; it begins
         anywhere, at the URL's begin, or where a label of the host begins, and ends anywhere or at the URL's end

Hosts and prefixes lie in one table by 64-bit hashes, in front of it a bitmap; what it finds is compared byte by byte.
A pattern is looked for where the URL holds four of its bytes, those that fewest patterns hold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curator.kernels.bits import compiled, mix64
from curator.kernels.shingles import frozen

BASE = np.uint64(0x9E3779B97F4A7C15)
SPARSE = 16  # bits of a bitmap for each rule
GRAM = 4  # bytes of a pattern that it is found by
GRAM_BITS = 18  # of the bitmap of grams: 32 KB
FREE, BEGIN, LABEL = 0, 1, 2  # where a pattern may begin
NONE = -1
STAR, SEPARATOR = np.uint8(42), np.uint8(94)
HTTP = np.frombuffer(b"http://", np.uint8)


class Names(NamedTuple):
    """Host and prefix rules, by hash."""

    keys: np.ndarray  # uint64, ascending
    rules: np.ndarray  # int32: the number of each key's rule
    bitmap: np.ndarray  # uint64
    shift: int  # a key's bit is key >> shift
    gate: np.ndarray  # uint64 (1024): bitmap of the hosts of prefixes, by the high 16 bits; empty where there are none
    offsets: np.ndarray  # int64 (rules + 1)
    data: np.ndarray  # uint8: the rules' texts


class Patterns(NamedTuple):
    """Pattern rules, by the gram that each is found by."""

    offsets: np.ndarray  # int64 (patterns + 1)
    data: np.ndarray  # uint8: their bytes, anchors off
    begins: np.ndarray  # uint8: FREE, BEGIN or LABEL
    closed: np.ndarray  # bool: ends at the URL's end
    spares: np.ndarray  # bool: a URL that matches is let through
    grams: np.ndarray  # uint32, ascending; equal ones are patterns that share it
    owners: np.ndarray  # int32: the pattern of each
    places: np.ndarray  # int32: the gram's byte in the pattern, -1 behind a `*`
    bitmap: np.ndarray  # uint64 (1 << GRAM_BITS - 6)
    short: np.ndarray  # int32: patterns without four bytes in a row, tried on every URL


def names(offsets: np.ndarray, data: np.ndarray) -> Names:
    """Return host and prefix rules as a table; offsets int64 (rules + 1) into data, uint8, in lower case.

    Memory: 16 bytes a rule beside its text.
    """
    keys, hosts = _rule_keys(frozen(offsets), frozen(data))
    order = np.argsort(keys, kind="stable")
    bits = max(16, int(len(keys) * SPARSE - 1).bit_length())
    gate = np.zeros(1024 if hosts.any() else 0, np.uint64)
    if len(gate):
        _mark(gate, hosts[hosts != 0], 48)
    bitmap = np.zeros(1 << (bits - 6), np.uint64)
    _mark(bitmap, keys, 64 - bits)
    return Names(keys[order], order.astype(np.int32), bitmap, 64 - bits, gate, frozen(offsets), frozen(data))


def patterns(
    offsets: np.ndarray, data: np.ndarray, begins: np.ndarray, closed: np.ndarray, spares: np.ndarray
) -> Patterns:
    """Return pattern rules, each indexed by the four bytes of it that fewest of them hold."""
    grams, owners, places = _all_grams(frozen(offsets), frozen(data))
    named, inverse, counts = np.unique(grams, return_inverse=True, return_counts=True)
    order = np.lexsort((named[inverse], counts[inverse], owners))  # of each pattern the rarest first
    owner, at = np.unique(owners[order], return_index=True)
    chosen, places = grams[order][at], places[order][at]
    order = np.argsort(chosen, kind="stable")
    bitmap = np.zeros(1 << (GRAM_BITS - 6), np.uint64)
    _mark(bitmap, _spread(chosen), 64 - GRAM_BITS)
    short = np.setdiff1d(np.arange(len(begins)), owner).astype(np.int32)
    return Patterns(
        frozen(offsets), frozen(data), begins, closed, spares, chosen[order], owner[order].astype(np.int32),
        places[order].astype(np.int32), bitmap, short,
    )  # fmt: skip


def match(
    offsets: np.ndarray, data: np.ndarray, named: Names, patterned: Patterns
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each URL, (first host or prefix rule that matches, first pattern that blocks, spared, odd).

    offsets: int64 (URLs + 1) into data, uint8. Rules are their numbers, int64, -1 for none. spared: bool, matches a
    pattern that spares. odd: bool, the host could not be read as ASCII: to be made canonical (`curator.kernels.urls`)
    and matched anew. Cost: about 1 us a URL.
    """
    count = len(offsets) - 1
    found, flags = np.full((2, count), NONE), np.zeros((2, count), bool)
    scratch = np.empty(int(np.diff(offsets).max(initial=0)) + 16, np.uint8)
    _match(frozen(offsets), frozen(data), named, patterned, scratch, found, flags)
    return found[0], found[1], flags[1], flags[0]


@compiled
def _mark(bitmap: np.ndarray, hashes: np.ndarray, shift: int) -> None:
    for i in range(hashes.size):
        place = hashes[i] >> np.uint64(shift)
        bitmap[place >> np.uint64(6)] |= np.uint64(1) << (place & np.uint64(63))


@compiled
def _marked(bitmap: np.ndarray, key: np.uint64, shift: int) -> bool:
    place = key >> np.uint64(shift)
    return bool(bitmap[place >> np.uint64(6)] >> (place & np.uint64(63)) & np.uint64(1))


@compiled
def _spread(grams: np.ndarray) -> np.ndarray:
    out = np.empty(grams.size, np.uint64)
    for i in range(grams.size):
        out[i] = np.uint64(np.uint64(grams[i]) * BASE)
    return out


@compiled
def _rule_keys(offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the hash of each rule, and that of a prefix's host, 0 for a rule that is a host."""
    keys, hosts = np.empty(offsets.size - 1, np.uint64), np.zeros(offsets.size - 1, np.uint64)
    for rule in range(offsets.size - 1):
        text = data[offsets[rule] : offsets[rule + 1]]
        end = 0
        while end < text.size and text[end] != 47:  # /
            end += 1
        x = np.uint64(0)
        for i in range(end - 1, -1, -1):
            x = np.uint64(x * BASE + np.uint64(text[i]))
        x = mix64(x)
        if end < text.size:
            hosts[rule] = x
            for i in range(end, text.size):
                x = np.uint64(x * BASE + np.uint64(text[i]))
            x = mix64(x)
        keys[rule] = x
    return keys, hosts


@compiled
def _all_grams(offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (gram, pattern, its byte there or -1) of every four bytes in a row that are neither `*` nor `^`."""
    grams = np.empty(data.size, np.uint32)
    owners, places = np.empty(data.size, np.int64), np.empty(data.size, np.int64)
    used = 0
    for pattern in range(offsets.size - 1):
        run, starred = 0, False
        gram = np.uint32(0)
        for i in range(offsets[pattern], offsets[pattern + 1]):
            starred = starred or data[i] == STAR
            run = 0 if data[i] == STAR or data[i] == SEPARATOR else run + 1
            gram = np.uint32(np.uint32(gram << np.uint32(8)) | np.uint32(data[i]))
            if run >= GRAM:
                grams[used], owners[used] = gram, pattern
                places[used] = -1 if starred else i - GRAM + 1 - offsets[pattern]
                used += 1
    return grams[:used], owners[:used], places[:used]


@compiled
def _match(
    offsets: np.ndarray,
    data: np.ndarray,
    named: Names,
    patterned: Patterns,
    scratch: np.ndarray,
    found: np.ndarray,
    flags: np.ndarray,
) -> None:
    for row in range(offsets.size - 1):
        host, path, size, bad = read_url(data[offsets[row] : offsets[row + 1]], scratch)
        flags[0, row] = bad
        url = scratch[:size]
        found[0, row] = match_names(url, host, path, named)
        if patterned.begins.size:
            found[1, row], flags[1, row] = match_patterns(url, host, path, patterned)


@compiled
def read_url(raw: np.ndarray, out: np.ndarray) -> tuple[int, int, int, bool]:
    """Write a URL as rules see it; return (where its host begins, where its path begins, its bytes, whether the host
    is not plain ASCII).

    A URL without a scheme is one of http. `out` has room for 16 bytes more than `raw`.
    """
    start, stop = 0, raw.size
    while start < stop and raw[start] <= 32:
        start += 1
    while stop > start and raw[stop - 1] <= 32:
        stop -= 1
    at = start
    while at < stop and raw[at] != 58 and raw[at] != 47 and raw[at] != 63 and raw[at] != 35:  # : / ? #
        at += 1
    if at + 2 < stop and raw[at] == 58 and raw[at + 1] == 47 and raw[at + 2] == 47:
        host = write_lower(raw[start : at + 3], out, 0)
        start = at + 3
    else:
        host = write_lower(HTTP, out, 0)
    begin, port, end = start, -1, start
    while end < stop and raw[end] != 47 and raw[end] != 63 and raw[end] != 35:
        if raw[end] == 64:  # @
            begin, port = end + 1, -1
        elif raw[end] == 58:
            port = end
        end += 1
    port = port if port >= 0 else end
    while port > begin and raw[port - 1] == 46:
        port -= 1
    size = write_lower(raw[begin:port], out, host)
    bad = False
    for i in range(host, size):
        byte = out[i]
        plain = 97 <= byte <= 122 or (45 <= byte <= 57 and byte != 47) or byte == 95  # letters, digits, - . _
        bad = bad or not plain
    path = size
    if end == stop or raw[end] != 47:
        out[size] = 47
        size += 1
    last = end
    while last < stop and raw[last] != 35:  # the fragment
        last += 1
    return host, path, write_lower(raw[end:last], out, size), bad


@compiled
def write_lower(text: np.ndarray, out: np.ndarray, at: int) -> int:
    """Write a text in ASCII lower case to out[at:]; return where it ends."""
    there = out[at : at + text.size]
    for i in range(text.size):
        there[i] = lower(text[i])
    return at + text.size


@compiled
def lower(byte: np.uint8) -> np.uint8:
    return np.uint8(byte | np.uint8(32)) if np.uint8(byte - np.uint8(65)) < np.uint8(26) else byte


@compiled
def match_names(url: np.ndarray, host: int, path: int, named: Names) -> int:
    """Return the first host or prefix rule that a URL matches, -1 for none."""
    best = NONE
    if named.keys.size == 0:
        return best
    x = np.uint64(0)
    for i in range(path - 1, host - 1, -1):
        x = np.uint64(x * BASE + np.uint64(url[i]))
        if i > host and url[i - 1] != 46:
            continue
        key = mix64(x)
        if _marked(named.bitmap, key, named.shift):
            best = least(best, look_up(url, i, path, key, named))
        if named.gate.size and _marked(named.gate, key, 48):
            y = key
            for j in range(path, url.size):
                y = np.uint64(y * BASE + np.uint64(url[j]))
                if j + 1 == url.size or url[j + 1] == 47 or url[j + 1] == 63 or url[j + 1] == 38:
                    whole = mix64(y)
                    if _marked(named.bitmap, whole, named.shift):
                        best = least(best, look_up(url, i, j + 1, whole, named))
    return best


@compiled
def least(a: int, b: int) -> int:
    """Return the smaller of two numbers of rules, of which -1 is none."""
    return a if b < 0 else b if a < 0 else min(a, b)


@compiled
def look_up(url: np.ndarray, start: int, stop: int, key: np.uint64, named: Names) -> int:
    """Return the first rule that is url[start:stop], -1 for none."""
    place = int(np.searchsorted(named.keys, key))
    while place < named.keys.size and named.keys[place] == key:
        rule = named.rules[place]
        text = named.data[named.offsets[rule] : named.offsets[rule + 1]]
        if text.size == stop - start:
            same = 0
            while same < text.size and text[same] == url[start + same]:
                same += 1
            if same == text.size:
                return int(rule)
        place += 1
    return NONE


@compiled
def match_patterns(url: np.ndarray, host: int, path: int, patterned: Patterns) -> tuple[int, bool]:
    """Return (the first pattern that blocks which a URL matches, -1 for none; whether it matches one that spares)."""
    best, spared = NONE, False
    for i in range(patterned.short.size):
        pattern = patterned.short[i]
        if fits(url, host, path, pattern, patterned, -1):
            spared = spared or patterned.spares[pattern]
            best = best if patterned.spares[pattern] else least(best, pattern)
    gram = np.uint32(0)
    for i in range(url.size):
        gram = np.uint32(np.uint32(gram << np.uint32(8)) | np.uint32(url[i]))
        if not _marked(patterned.bitmap, np.uint64(np.uint64(gram) * BASE), 64 - GRAM_BITS) or i + 1 < GRAM:
            continue
        place = int(np.searchsorted(patterned.grams, gram))
        while place < patterned.grams.size and patterned.grams[place] == gram:
            pattern, behind = patterned.owners[place], patterned.places[place]
            if fits(url, host, path, pattern, patterned, -1 if behind < 0 else i - GRAM + 1 - behind):
                spared = spared or patterned.spares[pattern]
                best = best if patterned.spares[pattern] else least(best, pattern)
            place += 1
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
