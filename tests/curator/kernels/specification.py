"""The hashes of fuzzy deduplication in plain Python, from the text of the specification: the oracle.

See the docstrings of curator.kernels.words, shingles, sketch and lsh. Slow and simple on purpose.
"""

import re

import numpy as np
import pyarrow as pa

from curator.kernels import arrow

ALL64, ALL32 = 2**64 - 1, 2**32 - 1


def buffers(texts):
    """Return (offsets, bytes) of texts, as the kernels get them."""
    return arrow.flatten(pa.array(texts, pa.large_string()))


def words_of(text):
    return re.findall(r"\w+", "".join(c.lower() if len(c.lower()) == 1 else c for c in text))


def word_hash(word):
    data = word.encode()
    x = 0x9E3779B97F4A7C15 + len(data) & ALL64
    for i in range(0, len(data), 8):
        block = data[i : i + 8]
        product = (x ^ int.from_bytes(block, "little") << 64 - 8 * len(block)) * 0x9FB21C651E98DF25
        x = product >> 64 ^ product & ALL64
    return x


def mix64(x):
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD & ALL64
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53 & ALL64
    return x ^ x >> 33


def mix32(x):
    x = (x ^ x >> 16) * 0x85EBCA6B & ALL32
    x = (x ^ x >> 13) * 0xC2B2AE35 & ALL32
    return x ^ x >> 16


def shingles_of(text, width):
    """Return the set of a text's shingles, as tuples of words."""
    words = words_of(text)
    width = min(width, len(words))
    return {tuple(words[i : i + width]) for i in range(len(words) - width + 1)} if words else set()


def shingle_hash(shingle):
    h = 0
    for word in shingle:
        h = h * 0xD6E8FEB86659FD93 + word_hash(word) & ALL64
    return mix64(h)


def sketch(hashes, size, seed):
    best = [None] * size
    for turn in range(2 * size):
        if None not in best:
            break
        salt = mix32(mix32(seed) + turn * 0x9E3779B9 & ALL32)
        reached = {}
        for h in hashes:
            y = mix32(h >> 32 ^ salt)
            z = y * 0x9E3779B1 & ALL32
            b = y * size >> 32 if turn < size else turn - size
            reached[b] = min(reached.get(b, ALL32), z ^ z >> 15)
        best = [reached.get(b) if old is None else old for b, old in enumerate(best)]
    return best


def band_keys(values, bands):
    rows = len(values) // bands
    keys = []
    for band in range(bands):
        x = 0x9E3779B97F4A7C15 + band & ALL64
        for value in values[band * rows : band * rows + rows]:
            x = (x ^ value) * 0x9FB21C651E98DF25 & ALL64
            x ^= x >> 29
        keys.append(x)
    return keys


def jaccard(a, b):
    return len(a & b) / len(a | b)


def kept_by_rule(keys, order, sets, threshold, cap):
    """Return (witness of each row or -1, similarity or nan, buckets over the cap), by the rule's words."""
    kept, over = {}, set()
    witness, similarity = np.full(len(sets), -1), np.full(len(sets), np.nan)
    for row in order:
        mine = list(enumerate(keys[row].tolist()))
        earlier = {other for bucket in mine for other in kept.get(bucket, [])[:cap]}
        for other in sorted(earlier, key=list(order).index):
            if jaccard(sets[row], sets[other]) >= threshold:
                witness[row], similarity[row] = other, jaccard(sets[row], sets[other])
                break
        else:
            for bucket in mine:
                kept.setdefault(bucket, []).append(row)
    over = {bucket for bucket, rows in kept.items() if len(rows) > cap}
    return witness, similarity, len(over)
