"""Character classes and lower case of every code point, as tables for compiled kernels.

Built from Python's own Unicode data, so a kernel agrees with str methods to the letter.
Code points from LIMIT up hold no spaces, letters or digits (private use and tags only).
"""

import functools

import numpy as np

LIMIT = 0x40000
SPACE, ALPHA, PUNCTUATION, LINE_BREAK, WORD = 1, 2, 4, 8, 16

# What datatrove 0.10 counts as punctuation (utils/text.py): a word made of these alone is a symbol.
PUNCTUATION_CHARACTERS = frozenset(
    "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
) | frozenset(map(chr, [*range(0, 32), *range(127, 160)]))

LINE_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # where str.splitlines cuts


@functools.cache
def classes() -> np.ndarray:
    """Return uint8 (LIMIT,): the classes of each code point, or-ed. WORD is what \\w matches."""
    text = [chr(c) for c in range(LIMIT)]
    table = np.fromiter(map(str.isspace, text), np.uint8, LIMIT) * np.uint8(SPACE)
    table |= np.fromiter(map(str.isalpha, text), np.uint8, LIMIT) * np.uint8(ALPHA)
    table |= np.fromiter(map(str.isalnum, text), np.uint8, LIMIT) * np.uint8(WORD)
    table[ord("_")] |= WORD
    for characters, flag in ((PUNCTUATION_CHARACTERS, PUNCTUATION), (LINE_BREAKS, LINE_BREAK)):
        table[[ord(c) for c in characters]] |= np.uint8(flag)
    return table


@functools.cache
def lower_case() -> np.ndarray:
    """Return uint32 (LIMIT,): each code point's lower case where that is one code point, else itself."""
    table = np.arange(LIMIT, dtype=np.uint32)
    for c in range(LIMIT):
        small = chr(c).lower()
        if len(small) == 1:
            table[c] = ord(small)
    return table
