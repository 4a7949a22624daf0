"""Locality-sensitive hashing: which documents agree in a whole band of their sketches.

A sketch of bands x rows values is cut into bands; two documents of Jaccard similarity s agree in at
least one with probability 1 - (1 - s ** rows) ** bands. A band's key, the specification: from
x = BAND_SEED + (number of the band), each value v of the band gives x = (x ^ v) * BAND_FACTOR,
x = x ^ (x >> 29), modulo 2**64. The number keeps keys of different bands apart where they are pooled.
"""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import compiled

BAND_SEED = np.uint64(0x9E3779B97F4A7C15)
BAND_FACTOR = np.uint64(0x9FB21C651E98DF25)
VACANT = np.uint64(0xFFFFFFFFFFFFFFFF)
HALF = np.uint64(32)
RUN = 512  # rows looked at in one go
PART_ROWS = 8192  # rows whose hash table stays in the second-level cache (256 kB)


@compiled
def band_hashes(sketches: np.ndarray, bands: int) -> np.ndarray:
    """Return uint64 (documents, bands): the key of each band of uint32 (documents, bands x rows)."""
    documents, size = sketches.shape
    rows = size // bands
    keys = np.empty((documents, bands), np.uint64)
    for document in range(documents):
        values = sketches[document]
        for band in range(bands):
            x = np.uint64(BAND_SEED + np.uint64(band))
            for j in range(band * rows, band * rows + rows):
                x = np.uint64((x ^ np.uint64(values[j])) * BAND_FACTOR)
                x = np.uint64(x ^ (x >> np.uint64(29)))
            keys[document, band] = x
    return keys


def candidates(keys: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Return bool (rows): which rows share the key of at least one band with another row.

    keys: uint64 (rows, bands), best in Fortran order, else each band is copied; rows marked in `empty`,
    bool (rows), share nothing. Memory: 9 bytes a row, 17 with the copy, one band at a time. Cost: 27 ns a
    row and band at 10 million rows (a 2017 server core).
    """
    shared = np.zeros(len(keys), np.bool_)
    for band in range(keys.shape[1]):
        column = np.ascontiguousarray(keys[:, band])
        _mark_sharers(column, *deal(column, empty), shared)
    return shared


def buckets(keys: np.ndarray) -> np.ndarray:
    """Return int64 (rows, bands): the number of the bucket each row lies in, -1 where it is alone.

    A bucket is the rows that share one band's key. Numbers run from 0 without gaps, by band and then
    by the bucket's first row. Memory: the result and 21 bytes a row.
    """
    numbers = np.full(keys.shape, -1, np.int64)
    empty = np.zeros(len(keys), np.bool_)
    following = 0
    for band in range(keys.shape[1]):
        leader = leaders(np.ascontiguousarray(keys[:, band]), empty)
        following = number_buckets(leader, following, numbers[:, band])
    return numbers


def leaders(keys: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Return uint32 (rows): the first row with the same key, which may be the row itself.

    keys: uint64 (rows), spread evenly, as hashes are; fewer than 2**32 - 1. An empty row leads itself.
    """
    leader = np.arange(keys.size, dtype=np.uint32)
    _lead(keys, *deal(keys, empty), leader)
    return leader


def deal(keys: np.ndarray, empty: np.ndarray, room: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Sort rows that are not empty into parts by the high bits of their keys: (part starts, entries).

    An entry, uint64, is the low half of a row's key above the row: a part can be joined without a look
    at the keys, but for rows that agree in both. room: uint64 (rows), to hold the entries.
    """
    bits = 1
    while keys.size >> bits > PART_ROWS:
        bits += 1
    if room is None:
        room = np.empty(keys.size, np.uint64)  # by numpy, which asks for large pages; Numba does not
    return _deal(keys, empty, np.uint64(64 - bits), room), room


@compiled
def _deal(keys: np.ndarray, empty: np.ndarray, shift: np.uint64, entries: np.ndarray) -> np.ndarray:
    starts = np.zeros((np.uint64(1) << (np.uint64(64) - shift)) + np.uint64(1), np.int64)
    ends = starts[1:]
    parts = np.empty(RUN, np.uint32)
    for base in range(0, keys.size, RUN):
        run, gone = keys[base : base + RUN], empty[base : base + RUN]
        for i in range(run.size):
            parts[i] = run[i] >> shift
        for i in range(run.size):  # apart from the loop above, which runs in vectors
            ends[np.uintp(parts[i])] += not gone[i]
    starts = np.cumsum(starts)
    following = starts[:-1].copy()
    for row in range(keys.size):
        if not empty[row]:
            part = np.uintp(keys[row] >> shift)
            place = np.uintp(following[part])
            following[part] += 1
            entries[place] = keys[row] << HALF | np.uint64(row)
    return starts


@compiled
def join_room(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what `join` needs for the largest part: (table, followers, firsts)."""
    rows = np.diff(starts).max()
    return np.empty(table_slots(rows), np.uint64), np.empty(rows, np.uint32), np.empty(rows, np.uint32)


@compiled
def table_slots(rows: int) -> int:
    """Return the slots of a hash table of `rows` keys: a power of two, at most a quarter of them taken."""
    slots = 4
    while slots < 4 * rows:
        slots *= 2
    return slots


@compiled
def join(keys: np.ndarray, entries: np.ndarray, table: np.ndarray, followers: np.ndarray, firsts: np.ndarray) -> int:
    """Find the rows of one part, in ascending order, whose key an earlier row has: write each and the
    first row with its key; return how many there are."""
    slots = table_slots(entries.size)
    table[:slots] = VACANT
    mask = np.uintp(slots - 1)
    count = 0
    for entry in entries:
        slot = np.uintp(entry >> HALF) & mask
        while table[slot] != VACANT:
            if table[slot] >> HALF == entry >> HALF:
                row, first = np.uint32(entry), np.uint32(table[slot])
                if keys[np.uintp(row)] == keys[np.uintp(first)]:
                    followers[count], firsts[count] = row, first
                    count += 1
                    break
            slot = (slot + np.uintp(1)) & mask
        else:
            table[slot] = entry
    return count


@compiled
def _lead(keys: np.ndarray, starts: np.ndarray, entries: np.ndarray, leader: np.ndarray) -> None:
    table, followers, firsts = join_room(starts)
    for part in range(starts.size - 1):
        for i in range(join(keys, entries[starts[part] : starts[part + 1]], table, followers, firsts)):
            leader[followers[i]] = firsts[i]


@compiled
def _mark_sharers(keys: np.ndarray, starts: np.ndarray, entries: np.ndarray, shared: np.ndarray) -> None:
    table, followers, firsts = join_room(starts)
    for part in range(starts.size - 1):
        for i in range(join(keys, entries[starts[part] : starts[part + 1]], table, followers, firsts)):
            shared[followers[i]] = True
            shared[firsts[i]] = True


@compiled
def mark_followers(leader: np.ndarray, shared: np.ndarray) -> None:
    """Set shared[row] for rows that have another leader, and for those leaders."""
    for row in range(leader.size):
        if leader[row] != row:
            shared[row] = True
            shared[leader[row]] = True


@compiled
def number_buckets(leader: np.ndarray, following: int, numbers: np.ndarray) -> int:
    """Number the buckets of one band from `following` on, in the order of their leaders; rows alone
    keep -1. Return the number after the last."""
    led = np.zeros(leader.size, np.bool_)
    mark_followers(leader, led)
    for row in range(leader.size):
        if led[row] and leader[row] == row:
            numbers[row] = following
            following += 1
        elif led[row]:
            numbers[row] = numbers[leader[row]]
    return following
