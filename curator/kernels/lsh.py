"""Locality-sensitive hashing: which documents agree in a whole band of their sketches.

A sketch of bands x rows values is cut into bands; two documents of Jaccard similarity s agree in at
least one with probability 1 - (1 - s ** rows) ** bands. A band's key, the specification: from
x = BAND_SEED + (number of the band), each value v of the band, of 32 or 64 bits, gives
x = (x ^ v) * BAND_FACTOR, x = x ^ (x >> 29), modulo 2**64. The number keeps keys of different bands apart
where they are pooled.
"""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import compiled

BAND_SEED = np.uint64(0x9E3779B97F4A7C15)
BAND_FACTOR = np.uint64(0x9FB21C651E98DF25)
VACANT = np.uint32(0xFFFFFFFF)
PART_ROWS = 8192  # rows whose hash table stays in the second-level cache (192 kB)


@compiled
def band_hashes(sketches: np.ndarray, bands: int) -> np.ndarray:
    """Return uint64 (documents, bands): the key of each band of uint32 or uint64 (documents, bands x rows)."""
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

    keys: uint64 (rows, bands); rows marked in `empty`, bool (rows), share nothing.
    Memory: 25 bytes a row, one band at a time. Cost: 15 ns a row and band at 40 thousand rows, 32 at 2
    million.
    """
    shared = np.zeros(len(keys), np.bool_)
    for band in range(keys.shape[1]):
        mark_followers(leaders(np.ascontiguousarray(keys[:, band]), empty), shared)
    return shared


def buckets(keys: np.ndarray) -> np.ndarray:
    """Return int64 (rows, bands): the number of the bucket each row lies in, -1 where it is alone.

    A bucket is the rows that share one band's key. Numbers run from 0 without gaps, by band and then
    by the bucket's first row. Memory: the result and 25 bytes a row.
    """
    numbers = np.full(keys.shape, -1, np.int64)
    empty = np.zeros(len(keys), np.bool_)
    following = 0
    for band in range(keys.shape[1]):
        leader = leaders(np.ascontiguousarray(keys[:, band]), empty)
        following = number_buckets(leader, following, numbers[:, band])
    return numbers


@compiled
def leaders(keys: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Return uint32 (rows): the first row with the same key, which may be the row itself.

    keys: uint64 (rows), spread evenly, as hashes are; fewer than 2**32 - 1. An empty row leads itself.
    The rows are dealt into parts by the high bits of their keys, and each part is joined in a hash
    table that fits the cache.
    """
    leader = np.arange(keys.size).astype(np.uint32)
    starts, part_rows, part_keys = deal(keys, empty)
    table = np.empty(table_slots(np.diff(starts).max()), np.uint32)
    for part in range(starts.size - 1):
        first, stop = starts[part], starts[part + 1]
        join(part_keys[first:stop], part_rows[first:stop], table, leader)
    return leader


@compiled
def deal(keys: np.ndarray, empty: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort rows that are not empty by the high bits of their keys: (part starts, rows, keys)."""
    bits = 1
    while keys.size >> bits > PART_ROWS:
        bits += 1
    shift = np.uint64(64 - bits)
    starts = np.zeros((1 << bits) + 1, np.int64)
    for row in range(keys.size):
        starts[np.int64(keys[row] >> shift) + 1] += not empty[row]
    starts = np.cumsum(starts)
    following = starts[:-1].copy()
    rows, dealt = np.empty(starts[-1], np.uint32), np.empty(starts[-1], np.uint64)
    for row in range(keys.size):
        if not empty[row]:
            part = np.int64(keys[row] >> shift)
            rows[following[part]] = row
            dealt[following[part]] = keys[row]
            following[part] += 1
    return starts, rows, dealt


@compiled
def table_slots(rows: int) -> int:
    """Return the slots of a hash table of `rows` keys: a power of two, at most half of them taken."""
    slots = 2
    while slots < 2 * rows:
        slots *= 2
    return slots


@compiled
def join(keys: np.ndarray, rows: np.ndarray, table: np.ndarray, leader: np.ndarray) -> None:
    """Set leader[row] for the rows of one part, in ascending order; the table holds positions in it."""
    slots = table_slots(keys.size)
    table[:slots] = VACANT
    mask = np.uint64(slots - 1)
    for i in range(keys.size):
        slot = np.int64(keys[i] & mask)
        while table[slot] != VACANT and keys[table[slot]] != keys[i]:
            slot = (slot + 1) & (slots - 1)
        if table[slot] == VACANT:
            table[slot] = i
        else:
            leader[rows[i]] = rows[table[slot]]


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
