"""Count how many different words of a list stand in a text, the list chosen text by text."""

import numpy as np

from curator.kernels.bits import compiled, hash_inside, ones
from curator.kernels.chunks import chunk_end
from curator.kernels.counts import char_classes, skip_spaces

MOST_WORDS = 64  # a list: a bit each


def count_listed(
    offsets: np.ndarray, data: np.ndarray, which: np.ndarray, lists: tuple[tuple[str, ...], ...]
) -> np.ndarray:
    """Return int64 (texts): how many words of lists[which[i]] are among the words (str.split) of text i.

    offsets  # (texts + 1) int64
    data     # uint8: UTF-8
    which    # (texts) int64; -1: no list, which counts 0
    A list has at most MOST_WORDS words. Words are compared by 64-bit hashes.
    """
    assert all(len(words) <= MOST_WORDS for words in lists)
    first = np.cumsum([0, *map(len, lists)])
    flat = [np.frombuffer(word.encode(), np.uint8) for words in lists for word in words]
    hashes = np.array([_hash(word) for word in flat], np.uint64)
    longest = np.array([max((len(w.encode()) for w in words), default=0) for words in lists] or [0])
    return _count(offsets, data, char_classes(), which, first, hashes, longest)


@compiled
def _hash(word: np.ndarray) -> np.uint64:
    return hash_inside(word, 0, len(word))


@compiled
def _count(
    offsets: np.ndarray,
    data: np.ndarray,
    classes: np.ndarray,
    which: np.ndarray,
    first: np.ndarray,
    hashes: np.ndarray,
    longest: np.ndarray,
) -> np.ndarray:
    counts = np.zeros(len(which), np.int64)
    for t in range(len(which)):
        if which[t] < 0:
            continue
        listed = hashes[first[which[t]] : first[which[t] + 1]]
        text, found = data[offsets[t] : offsets[t + 1]], np.uint64(0)
        i = skip_spaces(text, classes, 0)
        while i < len(text):
            end = chunk_end(text, classes, i, len(text))
            if end - i <= longest[which[t]]:
                key = hash_inside(text, i, end)
                for k in range(len(listed)):
                    found |= np.uint64(listed[k] == key) << np.uint64(k)
            i = skip_spaces(text, classes, end)
        counts[t] = ones(found)
    return counts
