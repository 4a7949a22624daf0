"""Find in texts the word n-grams of a given set: one rolling hash and a bitmap tell where to look closer.

Words are those of `curator.kernels.words`: lower-cased runs of `\\w`. The set's n-grams may differ in length; all
have at least `width` words. A text is rolled over once, with windows of `width` words; where the bitmap holds a
window's hash, the n-grams that may start there are looked up by a hash of their own, and whoever is found is
compared word by word, so that nothing is reported that is not there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curator.kernels.bits import compiled, mix64
from curator.kernels.normal import normal_forms
from curator.kernels.shingles import frozen
from curator.kernels.unicode import LIMIT, WORD, classes
from curator.kernels.words import decode, folded, hash_words, normalise, scratch_bytes

BASE = np.uint64(0x9E3779B97F4A7C15)  # of the rolling polynomial, modulo 2**64
FACTOR = np.uint64(0xD6E8FEB86659FD93)
SPARSE = 16  # bits of the bitmap for each n-gram: one window in 16 is looked up for nothing


@dataclass(frozen=True)
class Ngrams:
    """A set of word n-grams, numbered by their hashes, and the items that hold each."""

    width: int  # words of the shortest n-gram there may be
    lengths: np.ndarray  # int64: the different lengths, words
    keys: np.ndarray  # uint64 (n-grams), ascending
    bitmap: np.ndarray  # uint64 (words of 64 bits): hashes of the n-grams' first `width` words
    shift: int  # a hash's bit is hash >> shift
    starts: np.ndarray  # uint64, ascending: those hashes
    first: np.ndarray  # int64 (n-grams + 1): occurrences of each n-gram in the items
    items: np.ndarray  # int64 (occurrences): ascending for each n-gram
    words: np.ndarray  # int64 (n-grams): the word of its first item that each begins with
    sizes: np.ndarray  # int64 (n-grams): words of each
    forms: tuple[np.ndarray, np.ndarray]  # offsets and bytes of the items' words, one space between

    def text(self, ngram: int) -> str:
        """Return an n-gram's words, one space between."""
        start, word = self.items[self.first[ngram]], self.words[ngram]
        offsets, data = self.forms
        words = data[offsets[start] : offsets[start + 1]].tobytes().split(b" ")
        return b" ".join(words[word : word + self.sizes[ngram]]).decode()

    def occurrences(self, ngrams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (row of `ngrams`, item that holds it) for each item that holds any, by row and item."""
        counts = np.diff(self.first)[ngrams]
        rows = np.repeat(np.arange(len(ngrams)), counts)
        ahead = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return rows, self.items[self.first[ngrams][rows] + ahead]


def collect(offsets: np.ndarray, data: np.ndarray, heads: np.ndarray, length: int, width: int) -> Ngrams:
    """Return the n-grams of items.

    offsets: int64 (items + 1) into data, uint8: the items' texts. An item of at least `length` words has all its
    n-grams of `length` words; one of fewer, but at least `width`, is one n-gram by itself. heads: int64 (items),
    the bytes that an item begins with, which are an n-gram of their own where they hold `width` words and fewer
    than `length`; 0 for none.
    Different n-grams of one 64-bit hash are taken for one: of ten million, with a chance of 3e-6.
    """
    found, hashes = _collect(frozen(offsets), frozen(data), frozen(heads), folded(), length, width)
    order = np.lexsort((found[0], hashes[0]))
    keys, starts = np.unique(hashes[0][order], return_index=True)
    item, word, size = found[:, order]
    new = np.append(True, (item[1:] != item[:-1]) | (hashes[0][order][1:] != hashes[0][order][:-1]))[: len(order)]
    first = np.append(np.append(0, np.cumsum(new))[starts], new.sum())
    bits = max(16, int(len(keys) * SPARSE - 1).bit_length())
    bitmap = np.zeros(1 << bits - 6, np.uint64)
    places = hashes[1] >> np.uint64(64 - bits)
    np.bitwise_or.at(bitmap, (places >> np.uint64(6)).astype(np.int64), np.uint64(1) << (places & np.uint64(63)))
    return Ngrams(
        width=width,
        lengths=np.unique(size),
        keys=keys,
        bitmap=bitmap,
        shift=64 - bits,
        starts=np.unique(hashes[1]),
        first=first,
        items=item[new],
        words=word[starts],
        sizes=size[starts],
        forms=normal_forms(offsets, data, True),
    )


def find(
    offsets: np.ndarray, data: np.ndarray, ngrams: Ngrams
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (text, n-gram, start, stop) of every place in UTF-8 texts where an n-gram stands, four int64 arrays.

    offsets: int64 (texts + 1) into data, uint8. Start and stop are bytes from the text's begin: from the n-gram's
    first word to the end of its last. By text, word and length. Cost: 300 to 400 MB/s a core where little is found.
    """
    longest = int(np.diff(offsets).max(initial=0))
    scratch = np.empty(scratch_bytes(longest), np.uint8), *np.empty((2, longest // 2 + 1), np.uint64)
    table = (ngrams.bitmap, ngrams.shift, ngrams.starts, ngrams.width, ngrams.lengths, ngrams.keys)
    hits = _find(frozen(offsets), frozen(data), folded(), *table, *scratch)
    starts, stops = _locate(frozen(offsets), frozen(data), classes(), hits, ngrams.sizes)
    true = _equal(offsets, data, hits, starts, stops, ngrams)
    return hits[0][true], hits[1][true], starts[true], stops[true]


def _equal(
    offsets: np.ndarray, data: np.ndarray, hits: np.ndarray, starts: np.ndarray, stops: np.ndarray, ngrams: Ngrams
) -> np.ndarray:
    """Tell which hits are the words they are taken for."""
    if not hits.shape[1]:
        return np.zeros(0, bool)
    begins = offsets[hits[0]]
    pieces = [data[a:b] for a, b in zip(begins + starts, begins + stops)]
    ends, forms = normal_forms(np.append(0, np.cumsum(stops - starts)), np.concatenate(pieces), True)
    said = {int(ngram): ngrams.text(ngram).encode() for ngram in np.unique(hits[1])}
    whole = forms.tobytes()
    return np.array([whole[a:b] == said[g] for a, b, g in zip(ends[:-1], ends[1:], hits[1].tolist())])


@compiled
def _collect(
    offsets: np.ndarray, data: np.ndarray, heads: np.ndarray, fold: np.ndarray, length: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (item, first word, words) int64 and (own hash, hash of the first `width` words) of all n-grams."""
    longest = 0
    for item in range(heads.size):
        longest = max(longest, offsets[item + 1] - offsets[item])
    scratch, words = np.empty(longest * 3 // 2 + 128, np.uint8), np.empty(longest // 2 + 1, np.uint64)
    found, hashes = np.empty((3, 1024), np.int64), np.empty((2, 1024), np.uint64)
    used = 0
    for item in range(heads.size):
        text = data[offsets[item] : offsets[item + 1]]
        head = hash_words(scratch, normalise(text[: heads[item]], fold, scratch), words)
        count = hash_words(scratch, normalise(text, fold, scratch), words)
        if used + count + 1 > hashes.shape[1]:
            found, hashes = _grown(found, count + 1), _grown(hashes, count + 1)
        size = min(count, length)
        for word in range(count - size + 1 if size >= width else 0):
            _note(found, hashes, used, item, word, size, width, words)
            used += 1
        if width <= head < size:
            _note(found, hashes, used, item, 0, head, width, words)
            used += 1
    return found[:, :used], hashes[:, :used]


@compiled
def _grown(rows: np.ndarray, more: int) -> np.ndarray:
    """Return a copy with room for twice as many columns, and `more`."""
    larger = np.empty((rows.shape[0], 2 * rows.shape[1] + more), rows.dtype)
    larger[:, : rows.shape[1]] = rows
    return larger


@compiled
def _note(
    found: np.ndarray, hashes: np.ndarray, used: int, item: int, word: int, size: int, width: int, words: np.ndarray
) -> None:
    found[0, used], found[1, used], found[2, used] = item, word, size
    hashes[0, used] = key_of(words, word, size)
    hashes[1, used] = spread(polynomial(words, word, width))


@compiled
def polynomial(words: np.ndarray, start: int, size: int) -> np.uint64:
    """Return the polynomial of words[start : start + size], uint64 hashes."""
    x = np.uint64(0)
    for i in range(start, start + size):
        x = np.uint64(x * BASE + words[i])
    return x


@compiled
def key_of(words: np.ndarray, start: int, size: int) -> np.uint64:
    """Return the hash that an n-gram is looked up by; n-grams of two lengths have nothing in common."""
    return np.uint64(mix64(np.uint64(polynomial(words, start, size) + np.uint64(size) * FACTOR)))


@compiled
def spread(x: np.uint64) -> np.uint64:
    """Mix a polynomial so that its high bits are as good as random."""
    return np.uint64((x ^ (x >> np.uint64(32))) * FACTOR)


@compiled
def _find(
    offsets: np.ndarray,
    data: np.ndarray,
    fold: np.ndarray,
    bitmap: np.ndarray,
    shift: int,
    starts: np.ndarray,
    width: int,
    lengths: np.ndarray,
    keys: np.ndarray,
    scratch: np.ndarray,
    words: np.ndarray,
    windows: np.ndarray,
) -> np.ndarray:
    """Return (text, n-gram, first word) of each hit, int64 (3, hits)."""
    hits, used = np.empty((3, 1024), np.int64), 0
    for text in range(offsets.size - 1):
        count = hash_words(scratch, normalise(data[offsets[text] : offsets[text + 1]], fold, scratch), words)
        found = candidates(roll(words[:count], width, windows), bitmap, np.uint64(shift), windows)
        for i in range(found):
            start = int(windows[i])
            if not holds(starts, spread(polynomial(words, start, width))):
                continue
            if used + lengths.size > hits.shape[1]:
                hits = _grown(hits, lengths.size)
            used = _look_up(words, start, count, lengths, keys, text, hits, used)
    return hits[:, :used]


@compiled
def roll(words: np.ndarray, width: int, windows: np.ndarray) -> np.ndarray:
    """Return the hash of each window of `width` words, in `windows`."""
    if words.size < width:
        return windows[:0]
    gone = np.uint64(1)
    for _ in range(width):
        gone = np.uint64(gone * BASE)
    out, ahead = windows[: words.size - width + 1], words[width - 1 :]
    x, lost = polynomial(words, 0, width - 1), np.uint64(0)
    for i in range(out.size):
        x = np.uint64(x * BASE + np.uint64(ahead[i] - lost))
        lost = np.uint64(gone * words[i])
        out[i] = spread(x)
    return out


@compiled
def candidates(hashes: np.ndarray, bitmap: np.ndarray, shift: np.uint64, out: np.ndarray) -> int:
    """Write the places of the hashes that the bitmap holds to `out`, which may be the same memory; return how many."""
    found = 0
    for i in range(hashes.size):
        place = hashes[i] >> shift
        out[found] = np.uint64(i)
        found += int(bitmap[place >> np.uint64(6)] >> (place & np.uint64(63)) & np.uint64(1))
    return found


@compiled
def holds(values: np.ndarray, value: np.uint64) -> bool:
    """Tell whether ascending values hold one."""
    place = int(np.searchsorted(values, value))
    return bool(place < values.size and values[place] == value)


@compiled
def _look_up(
    words: np.ndarray,
    start: int,
    count: int,
    lengths: np.ndarray,
    keys: np.ndarray,
    text: int,
    hits: np.ndarray,
    used: int,
) -> int:
    """Write the n-grams that start at one word to `hits`, from column `used` on; return the next free one."""
    for i in range(lengths.size):
        if start + lengths[i] > count:
            return used
        key = key_of(words, start, lengths[i])
        place = int(np.searchsorted(keys, key))
        if place < keys.size and keys[place] == key:
            hits[0, used], hits[1, used], hits[2, used] = text, place, start
            used += 1
    return used


@compiled
def _locate(
    offsets: np.ndarray, data: np.ndarray, table: np.ndarray, hits: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of their texts at which hits start and stop."""
    starts, stops = np.empty(hits.shape[1], np.int64), np.empty(hits.shape[1], np.int64)
    done = 0
    while done < hits.shape[1]:
        number = hits[0, done]
        places = word_places(data[offsets[number] : offsets[number + 1]], table)
        while done < hits.shape[1] and hits[0, done] == number:
            starts[done] = places[0, hits[2, done]]
            stops[done] = places[1, hits[2, done] + sizes[hits[1, done]] - 1]
            done += 1
    return starts, stops


@compiled
def word_places(text: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return int64 (2, room): the bytes at which the words of a UTF-8 text start and stop."""
    places = np.empty((2, (text.size + 1) // 2 + 1), np.int64)
    found, inside, read = 0, False, 0
    while read < text.size:
        here, lead = read, int(text[read])
        if lead < 0x80:
            code, read = lead, read + 1
        else:
            code, read = decode(text, read, lead)
        word = code < LIMIT and table[code] & WORD != 0
        if word and not inside:
            places[0, found] = here
        if inside and not word:
            places[1, found] = here
            found += 1
        inside = word
    if inside:
        places[1, found] = text.size
    return places
