"""Find the phrases of cookie notices, terms of use and filler text by which boilerplate is told.

A phrase is sought by two or three of its letters at once in 64 places of the text, and compared only there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.bits import BLOCK, compiled, trailing_zeros
from curator.kernels.counts import ONE, at, folded, signed

# NeMo Curator's list, lower case. Of three long cookie notices only the beginnings stand here; its other two long
# ones contain a short one.
POLICY = (
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
    "privacy & cookies policy",
    "privacy and cookies policy",
    "necessary cookies are absolutely essential for the website",
    "any cookies that may not be particularly necessary for the website",
    "without changing your cookie settings, you agree",
    "privacy policy",
    "privacy overview",
    "terms of use",
)
FILLER = ("lorem ipsum",)  # a text with it is all boilerplate
ANCHORS = ("cook", "privacy", "terms of", "lorem ip")  # `anchored` looks for them; each phrase has one
PHRASES = POLICY + FILLER
BYTES = np.frombuffer("".join(PHRASES).encode(), np.uint8)
BOUNDS = np.append(0, np.cumsum([len(phrase) for phrase in PHRASES]))
ANCHOR = np.array([next(i for i, anchor in enumerate(ANCHORS) if anchor in phrase) for phrase in PHRASES])
OFFSET = np.array([phrase.index(ANCHORS[i]) for phrase, i in zip(PHRASES, ANCHOR, strict=True)])


@compiled
def anchored(text: np.ndarray, i: int, anchor: int) -> Any:
    """Return the bits of the bytes of the block at i where this anchor may start."""
    if anchor == 0:
        return folded(text, i, ord("c")) & folded(text, i + 1, ord("o")) & folded(text, i + 3, ord("k"))
    if anchor == 1:
        return folded(text, i, ord("p")) & folded(text, i + 3, ord("v")) & folded(text, i + 6, ord("y"))
    if anchor == 2:
        return folded(text, i, ord("t")) & folded(text, i + 3, ord("m")) & folded(text, i + 7, ord("f"))
    return folded(text, i, ord("l")) & folded(text, i + 4, ord("m")) & folded(text, i + 7, ord("p"))


@compiled
def is_phrase(text: np.ndarray, i: int, phrase: int) -> bool:
    """Tell whether the phrase stands at byte i, in any case."""
    begin, size = BOUNDS[phrase], BOUNDS[phrase + 1] - BOUNDS[phrase]
    if i < 0 or i + size > len(text):
        return False
    for k in range(size):
        byte, wanted = at(text, i + k), BYTES[begin + k]
        if byte != wanted and (byte | 0x20 != wanted or not ord("a") <= wanted <= ord("z")):
            return False
    return True


@compiled
def section_of(starts: np.ndarray, sections: int, i: int) -> int:
    """Return the section that byte i lies in."""
    low, high = 0, sections
    while high - low > 1:
        middle = (low + high) // 2
        if signed(starts[middle]) <= i:
            low = middle
        else:
            high = middle
    return low


@compiled
def count_boilerplate(text: np.ndarray, starts: np.ndarray, sections: int, flags: np.ndarray, row: Any) -> None:
    """Count the sections (that start at the bytes `starts`) that hold a phrase; all, where the text holds filler.

    flags  # bool: scratch, a section each
    """
    flags[:sections] = False
    found = 0
    for block in range(0, len(text), BLOCK):
        for anchor in range(len(ANCHORS)):
            places = anchored(text, block, anchor)
            while places:
                place = block + trailing_zeros(places)
                places &= places - ONE
                for phrase in range(len(PHRASES)):
                    if ANCHOR[phrase] != anchor or not is_phrase(text, place - OFFSET[phrase], phrase):
                        continue
                    if phrase >= len(POLICY):
                        row.boilerplate_sections = sections
                        return
                    section = section_of(starts, sections, place)
                    found += not flags[section]
                    flags[section] = True
    row.boilerplate_sections = found
