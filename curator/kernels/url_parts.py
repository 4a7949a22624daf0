"""Read URLs as rules see them, and hash their parts: by blocks of 64 bytes where a URL is as most are.

What is read lies in a scratch array with room on both sides, so that a block may begin before it or end behind it.
"""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import (
    BLOCK,
    bits_within,
    compiled,
    fold_multiply,
    leading_zeros,
    load64,
    lower_block,
    trailing_zeros,
)  # fmt: skip

ROOM = BLOCK + 16  # bytes of a scratch array before and behind a URL: a block, and `http://` with a slash
HTTP, HTTPS = (np.uint64(int.from_bytes(scheme, "little")) for scheme in (b"http://", b"https://"))
SEVEN = np.uint64((1 << 56) - 1)
SEED, FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
ALL = np.uint64((1 << 64) - 1)


def scratch(offsets: np.ndarray) -> np.ndarray:
    """Return an array in which each of the texts has room."""
    return np.zeros(int(np.diff(offsets).max(initial=0)) + 2 * ROOM, np.uint8)


@compiled
def read_url(data: np.ndarray, start: int, stop: int, out: np.ndarray) -> tuple[int, int, int, int, bool]:
    """Write the URL data[start:stop] to `out` as rules see it; return (where it begins, where its host and its path
    begin, where it ends, whether the host is not plain ASCII).

    A URL without a scheme is one of http.
    """
    while start < stop and data[start] <= 32:
        start += 1
    while stop > start and data[stop - 1] <= 32:
        stop -= 1
    first = ROOM
    last = write_lower(data, start, stop, out, first)
    host = find_host(out, first, last)
    if host == first:
        first -= 7
        for i in range(7):
            out[first + i] = np.uint8(HTTP >> np.uint64(8 * i))
    path, bad = min(last, host + trailing_zeros(odd_bytes(out, host))), False
    if path == host or path == host + BLOCK or not (path == last or ends_host(out[path])) or out[path - 1] == 46:
        first, host, path, bad = settle(out, first, host, last)
    last = find_byte(out, path, last, np.uint8(35))  # the fragment
    if path == last:
        out[path] = 47
        last += 1
    elif out[path] != 47:  # ?
        for i in range(first, path):
            out[i - 1] = out[i]
        first, host, path = first - 1, host - 1, path - 1
        out[path] = 47
    return first, host, path, last, bad


@compiled
def write_lower(data: np.ndarray, start: int, stop: int, out: np.ndarray, at: int) -> int:
    """Write data[start:stop] in ASCII lower case to out[at:], and up to a block behind it; return where it ends."""
    end = at + stop - start
    while start < stop and start + BLOCK <= data.size:
        lower_block(data, start, out, at)
        start += BLOCK
        at += BLOCK
    while start < stop:  # the last bytes of all
        byte = data[start]
        out[at] = np.uint8(byte | np.uint8(32)) if np.uint8(byte - np.uint8(65)) < np.uint8(26) else byte
        start += 1
        at += 1
    return end


@compiled
def find_host(text: np.ndarray, first: int, last: int) -> int:
    """Return where what follows `scheme://` begins; `first` where there is no scheme."""
    word = load64(text, first)
    if word == HTTPS and last - first >= 8:
        return first + 8
    if word & SEVEN == HTTP and last - first >= 7:
        return first + 7
    at = first
    while at < last and text[at] != 58 and not ends_host(text[at]):  # :
        at += 1
    if at + 2 < last and text[at] == 58 and text[at + 1] == 47 and text[at + 2] == 47:
        return at + 3
    return first


@compiled
def ends_host(byte: np.uint8) -> bool:
    return bool(byte == 47 or byte == 63 or byte == 35)  # / ? #


@compiled
def odd_bytes(text: np.ndarray, at: int) -> np.uint64:
    """Tell which of the 64 bytes from text[at] no plain host holds: all but letters, digits, - . and _."""
    none = np.uint8(0)
    plain = bits_within(text, at, none, np.uint8(97), np.uint8(122))
    plain |= bits_within(text, at, none, np.uint8(45), np.uint8(46))
    plain |= bits_within(text, at, none, np.uint8(48), np.uint8(57))
    plain |= bits_within(text, at, none, np.uint8(95), np.uint8(95))
    return np.uint64(~plain)


@compiled
def settle(out: np.ndarray, first: int, host: int, last: int) -> tuple[int, int, int, bool]:
    """Take user, port and dots at the end from between scheme and path, byte by byte; return what `read_url` does."""
    begin, port, path = host, -1, host
    while path < last and not ends_host(out[path]):
        if out[path] == 64:  # @
            begin, port = path + 1, -1
        elif out[path] == 58:
            port = path
        path += 1
    port = port if port >= 0 else path
    while port > begin and out[port - 1] == 46:
        port -= 1
    bad = False
    for i in range(begin, port):
        byte = out[i]
        plain = 97 <= byte <= 122 or (45 <= byte <= 57 and byte != 47) or byte == 95
        bad = bad or not plain
    moved = path
    for i in range(port - 1, begin - 1, -1):
        moved -= 1
        out[moved] = out[i]
    new = moved
    for i in range(host - 1, first - 1, -1):
        moved -= 1
        out[moved] = out[i]
    return moved, new, path, bad


@compiled
def find_byte(text: np.ndarray, start: int, stop: int, byte: np.uint8) -> int:
    """Return where a byte first is in text[start:stop], `stop` where it is not."""
    while start < stop:
        there = bits_within(text, start, np.uint8(0), byte, byte)
        if there:
            return int(min(stop, start + trailing_zeros(there)))
        start += BLOCK
    return stop


@compiled
def label_start(text: np.ndarray, first: int, stop: int) -> int:
    """Return where the label of a host that ends at `stop` begins; the host begins at `first`."""
    while stop > first:
        dots = bits_within(text, stop - BLOCK, np.uint8(0), np.uint8(46), np.uint8(46))
        if dots:
            return int(max(first, stop - leading_zeros(dots)))
        stop -= BLOCK
    return first


@compiled
def segment_end(text: np.ndarray, start: int, stop: int) -> int:
    """Return where the part of a path that begins at `start` ends: before the next / ? & or at `stop`."""
    start += 1
    while start < stop and text[start] != 47 and text[start] != 63 and text[start] != 38:
        start += 1
    return start


@compiled
def hash_part(text: np.ndarray, start: int, stop: int, before: np.uint64) -> np.uint64:
    """Hash text[start:stop] behind what has the hash `before`, reading up to 8 bytes behind it."""
    while stop - start >= 8:
        before = fold_multiply(before ^ load64(text, start), FACTOR)
        start += 8
    left = load64(text, start) & ((np.uint64(1) << np.uint64(8 * (stop - start))) - np.uint64(1))
    return np.uint64(fold_multiply(before ^ left ^ SEED, FACTOR))
