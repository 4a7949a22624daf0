"""The hashes of fuzzy deduplication in plain Python, from the text of the specification: the oracle.

See the docstrings of curator.kernels.words, shingles, characters, sketch, minhash, cudf_minhash and lsh.
Slow and simple on purpose.
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


def characters_of(text):
    lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    return re.sub(r"\s+", " ", lowered).strip()


def character_shingles_of(text, width):
    """Return the set of a text's character shingles."""
    text = characters_of(text)
    width = min(width, len(text))
    return {text[i : i + width] for i in range(len(text) - width + 1)} if text else set()


def character_shingle_hash(shingle):
    h = 0
    for character in shingle:
        h = h * 0xD6E8FEB86659FD93 + ord(character) + 1 & ALL64
    product = (h ^ 0x9E3779B97F4A7C15) * 0x9FB21C651E98DF25
    return product >> 64 ^ product & ALL64


def minhash(hashes, size, seed):
    def drawn(j):
        return mix32(mix32(seed) + j * 0x9E3779B9 & ALL32)

    return [min((drawn(2 * i) | 1) * (h >> 32) + drawn(2 * i + 1) & ALL32 for h in hashes) for i in range(size)]


def rotate(x, left, bits):
    return (x << left | x >> bits - left) & 2**bits - 1


def murmur32(data, seed):
    """MurmurHash3_x86_32."""
    h = seed
    whole = len(data) // 4 * 4
    for i in range(0, len(data), 4):
        k = int.from_bytes(data[i : i + 4], "little") * 0xCC9E2D51 & ALL32
        h ^= rotate(k, 15, 32) * 0x1B873593 & ALL32
        if i < whole:
            h = rotate(h, 13, 32) * 5 + 0xE6546B64 & ALL32
    return mix32(h ^ len(data))


def murmur128(data, seed):
    """MurmurHash3_x64_128, both halves of its state seeded with 64 bits: (first, second 64 bits)."""
    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1 = h2 = seed
    whole = len(data) // 16 * 16
    for i in range(0, len(data), 16):
        k1, k2 = (int.from_bytes(data[j : min(j + 8, i + 16)], "little") for j in (i, i + 8))
        h1 ^= rotate(k1 * c1 & ALL64, 31, 64) * c2 & ALL64
        if i < whole:
            h1 = (rotate(h1, 27, 64) + h2) * 5 + 0x52DCE729 & ALL64
        h2 ^= rotate(k2 * c2 & ALL64, 33, 64) * c1 & ALL64
        if i < whole:
            h2 = (rotate(h2, 31, 64) + h1) * 5 + 0x38495AB5 & ALL64
    h1 = (h1 ^ len(data)) + (h2 ^ len(data)) & ALL64
    h2 = h1 + (h2 ^ len(data)) & ALL64
    h1, h2 = mix64(h1), mix64(h2)
    return h1 + h2 & ALL64, h1 + 2 * h2 & ALL64


def cudf_windows(units, span):
    """Return the bytes of every window of `span` strings, joined; of no more strings, one window."""
    return ["".join(units[i : i + span]).encode() for i in range(max(1, len(units) - span + 1))] if units else []


def cudf_minhash(windows, a, b, seed, bits):
    """Return cudf's sketch of windows; see curator.kernels.cudf_minhash."""
    hashed = [max(murmur32(w, seed) if bits == 32 else murmur128(w, seed)[0], 1) for w in windows]
    return [min(((x * h + y) % 2**bits % (2**61 - 1) for h in hashed), default=0) for x, y in zip(a, b)]


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
