"""Cut texts into white-space chunks, name each by an entry of a table of known chunks, and write texts anew
from what the entries say: compiled loops for tokenisers whose tokens depend on the chunk alone.

A `chunk` is what str.split() returns, cut after `most` code points where it is longer. A text's chunks are
begins, lengths   # (chunks,) int64 first byte, uint32 bytes
first             # (texts + 1,) int64: number of each text's first chunk
"""

import numpy as np

from curator.kernels.bits import compiled, copy_block, hash_inside
from curator.kernels.counts import at, decode, signed, skip_spaces
from curator.kernels.unicode import SPACE

ENTRY = np.dtype(
    [
        ("hash", np.uint64),
        ("key", np.int64),  # where in the arena the chunk lies
        ("shown", np.int64),  # and where its tokens, a space between each two
        ("key_bytes", np.uint32),
        ("shown_bytes", np.uint32),
        ("head", np.uint8),  # numbers of the first and the last token, 0 for most
        ("tail", np.uint8),
        ("found", np.bool_),  # a special case is in its tokens: what stands beside the chunk may forbid it
        ("url", np.uint8),  # whether it is a URL but for affixes: NO, YES, or UNKNOWN where nothing depends on it
    ]
)
PADDING = 64  # bytes that a copy may go beyond what it copies


@compiled
def chunk_end(text: np.ndarray, classes: np.ndarray, i: int, most: int) -> int:
    """Return where the chunk that starts at byte i ends."""
    for _ in range(most):
        if i >= len(text):
            break
        if np.uint8(at(text, i) - 0x21) < 0x5E:  # printable ASCII
            i += 1
            continue
        code, after = decode(text, i)
        if at(classes, code) & SPACE:
            break
        i = after
    return i


@compiled
def cut_chunks(
    offsets: np.ndarray, data: np.ndarray, classes: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (first, begins, lengths) of the chunks of the texts data[offsets[i]:offsets[i + 1]]."""
    texts = len(offsets) - 1
    room = (offsets[texts] - offsets[0]) // 2 + (offsets[texts] - offsets[0]) // most + texts + 1
    first, n = np.empty(texts + 1, np.int64), 0
    begins, lengths = np.empty(room, np.int64), np.empty(room, np.uint32)
    for t in range(texts):
        first[t] = n
        text = data[offsets[t] : offsets[t + 1]]
        i = skip_spaces(text, classes, 0)
        while i < len(text):
            end = chunk_end(text, classes, i, most)
            begins[n], lengths[n] = offsets[t] + i, end - i
            n += 1
            i = skip_spaces(text, classes, end)
    first[texts] = n
    return first, begins[:n], lengths[:n]


@compiled
def same_bytes(a: np.ndarray, i: int, b: np.ndarray, j: int, length: int) -> bool:
    """Tell whether a[i:i + length] is b[j:j + length]."""
    k = 0
    while k < length and at(a, i + k) == at(b, j + k):
        k += 1
    return k == length


@compiled
def free_or_equal(
    table: np.ndarray, entries: np.ndarray, arena: np.ndarray, data: np.ndarray, begin: int, length: int, key: np.uint64
) -> int:
    """Return the slot that holds the entry of data[begin:begin + length], or the free one it would take."""
    mask = np.uint64(len(table) - 1)
    slot = key >> np.uint64(20) & mask
    while table[slot] != 0:
        entry = entries[table[slot]]
        if entry.hash == key and entry.key_bytes == length and same_bytes(arena, entry.key, data, begin, length):
            break
        slot = slot + np.uint64(1) & mask
    return signed(slot)


@compiled
def find_entries(
    data: np.ndarray,
    begins: np.ndarray,
    lengths: np.ndarray,
    start: int,
    table: np.ndarray,
    entries: np.ndarray,
    arena: np.ndarray,
    filled: np.ndarray,
    ids: np.ndarray,
) -> int:
    """Name chunk after chunk from number `start` on, making an entry (hash and key) for each unseen one.

    table   # uint32, a power of two of slots: number of an entry, 0 if free
    filled  # (entries, bytes of the arena) in use
    ids     # (chunks,) uint32, written here
    Return the number of chunks that have their entry: fewer than all where there is no room for another.
    """
    for k in range(start, len(begins)):
        begin, length = begins[k], signed(lengths[k])
        key = hash_inside(data, begin, begin + length)
        slot = free_or_equal(table, entries, arena, data, begin, length, key)
        if table[slot] == 0:
            n, used = filled[0], filled[1]
            if n == len(entries) or 2 * n > len(table) or used + length + PADDING > len(arena):
                return k
            entries[n].hash, entries[n].key, entries[n].key_bytes = key, used, length
            arena[used : used + length] = data[begin : begin + length]
            filled[0], filled[1] = n + 1, used + length
            table[slot] = n
        ids[k] = table[slot]
    return len(begins)


@compiled
def put_entries(table: np.ndarray, entries: np.ndarray, count: int) -> None:
    """Fill an empty table with the first `count` entries, number 0 and those without a key left out."""
    mask = np.uint64(len(table) - 1)
    for n in range(1, count):
        if entries[n].key_bytes == 0:
            continue
        slot = entries[n].hash >> np.uint64(20) & mask
        while table[slot] != 0:
            slot = slot + np.uint64(1) & mask
        table[slot] = n


@compiled
def entangled(
    data: np.ndarray,
    first: np.ndarray,
    begins: np.ndarray,
    lengths: np.ndarray,
    ids: np.ndarray,
    entries: np.ndarray,
    pairs: np.ndarray,
    most: int,
) -> np.ndarray:
    """Find the chunks whose tokens may depend on their neighbours.

    Chunks are linked where one space stands between them and pairs[tail, head] holds, up to `most` bytes. Return
    (start, stop) of each run of linked chunks in some of which a special case was found.
    """
    runs, n = np.empty((len(begins) // 2, 2), np.int64), 0
    for t in range(len(first) - 1):
        start, found = first[t], False
        for k in range(first[t], first[t + 1]):
            here = entries[ids[k]]
            found = found or here.found
            if k + 1 < first[t + 1]:
                end = begins[k] + signed(lengths[k])
                linked = begins[k + 1] == end + 1 and pairs[here.tail, entries[ids[k + 1]].head]
                if linked and data[end] == ord(" ") and end + 1 + signed(lengths[k + 1]) - begins[start] <= most:
                    continue
            if found and k > start:
                runs[n] = start, k + 1
                n += 1
            start, found = k + 1, False
    return runs[:n].copy()


@compiled
def write_shown(
    first: np.ndarray, ids: np.ndarray, entries: np.ndarray, arena: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (offsets, data) of the texts that hold what each chunk's entry shows, and a space after it."""
    total = 0
    for k in range(len(ids)):
        total += signed(entries[ids[k]].shown_bytes) + 1
    offsets, data, n = np.empty(len(first), np.int64), np.empty(total + PADDING, np.uint8), 0
    for t in range(len(first) - 1):
        offsets[t] = n
        for k in range(first[t], first[t + 1]):
            entry = entries[ids[k]]
            length = signed(entry.shown_bytes)
            for done in range(0, length, PADDING):
                copy_block(arena, entry.shown + done, data, n + done)
            n += length
            data[n] = ord(" ")
            n += 1
    offsets[len(first) - 1] = n
    return offsets, data[:n]
