"""Phrases that C4 looks for in a line, whatever their case: found by a rare letter, then compared."""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.counts import at

LOREM_IPSUM, CURLY_BRACKET, JAVASCRIPT, POLICY = 1, 2, 4, 8  # what a phrase tells of its line
# (phrase, place of its rarest letter, what it tells); the policy phrases are those of C4's code
_PHRASES = sorted(
    [
        ("lorem ipsum", 7, LOREM_IPSUM),
        ("{", 0, CURLY_BRACKET),
        ("javascript", 0, JAVASCRIPT),
        ("terms of use", 7, POLICY),
        ("privacy policy", 3, POLICY),
        ("cookie policy", 3, POLICY),
        ("uses cookies", 8, POLICY),
        ("use of cookies", 10, POLICY),
        ("use cookies", 7, POLICY),
    ],
    key=lambda phrase: phrase[0][phrase[1]],
)
_LETTERS = np.array([list(phrase.encode().ljust(14)) for phrase, _, _ in _PHRASES], np.uint8)
_LENGTHS = np.array([len(phrase) for phrase, _, _ in _PHRASES])
_PLACES = np.array([place for _, place, _ in _PHRASES])
_TOLD = np.array([told for _, _, told in _PHRASES])
KELVIN = b"\xe2\x84\xaa"  # K, the one other character whose lower case is an ASCII letter, k


def _by_letter() -> tuple[np.ndarray, np.ndarray]:
    """Return int64 (256,) twice: the phrases that a byte may be the rarest letter of, from and to."""
    first, stop = np.zeros(256, np.int64), np.zeros(256, np.int64)
    rarest = [phrase[place] for phrase, place, _ in _PHRASES]
    for letter in set(rarest):
        for byte in {ord(letter), ord(letter.upper()), *(KELVIN[:1] if letter == "k" else b"")}:
            first[byte] = rarest.index(letter)
            stop[byte] = first[byte] + rarest.count(letter)
    return first, stop


_FIRST, _STOP = _by_letter()
_RARE = _STOP > 0


@compiled
def phrases_in(text: np.ndarray, start: int, stop: int) -> int:
    """Return what the phrases found in text[start:stop] tell, or-ed."""
    told = 0
    i = start
    while i < stop:
        if not at(_RARE, at(text, i)):
            i += 1
            continue
        for k in range(at(_FIRST, at(text, i)), at(_STOP, at(text, i))):
            if told & _TOLD[k] == 0 and i - _PLACES[k] >= start and _stands(text, i - _PLACES[k], stop, k):
                told |= _TOLD[k]
        i += 1
    return told


@compiled
def count_phrase(text: np.ndarray, told: int) -> int:
    """Count the places of a text where a phrase that tells `told` starts."""
    k, found = 0, 0
    while _TOLD[k] != told:
        k += 1
    letter = _LETTERS[k, _PLACES[k]]
    for i in range(_PLACES[k], len(text)):
        if at(text, i) | 0x20 == letter | 0x20:
            found += _stands(text, i - _PLACES[k], len(text), k)
    return found


@compiled
def _stands(text: np.ndarray, i: int, stop: int, k: int) -> bool:
    """Tell whether the lower case of text[i:stop] starts with phrase k."""
    for place in range(_LENGTHS[k]):
        if i >= stop:
            return False
        byte, after = at(text, i), i + 1
        if byte >= ord("A") and byte <= ord("Z"):
            byte |= np.uint8(0x20)
        elif byte == KELVIN[0] and i + 2 < stop and text[i + 1] == KELVIN[1] and text[i + 2] == KELVIN[2]:
            byte, after = np.uint8(ord("k")), i + 3
        if byte != _LETTERS[k, place]:
            return False
        i = after
    return True
