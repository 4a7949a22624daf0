"""Character classes and lower case of every code point, as tables for compiled kernels.

Built from Python's own Unicode data, so a kernel agrees with str methods to the letter.
Code points from LIMIT up hold no spaces, letters or digits (private use and tags only).
"""

import functools

import numpy as np

LIMIT = 0x40000
SPACE, ALPHA, PUNCTUATION, LINE_BREAK, WORD, TERMINAL, ALPHABETIC = 1, 2, 4, 8, 16, 32, 64


def in_ranges(ranges: str) -> frozenset[str]:
    """Return the characters of hexadecimal code points and ranges: "21 30-32" -> {"!", "0", "1", "2"}."""
    bounds = [[int(end, 16) for end in span.split("-")] for span in ranges.split()]
    return frozenset(chr(c) for bound in bounds for c in range(bound[0], bound[-1] + 1))


# Marks that end a sentence, of all scripts, as datatrove 0.10 lists them (utils/text.py).
TERMINAL_PUNCTUATION = in_ranges(
    "21 2e 3f 589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362 1367-1368 166e "
    "1735-1736 17d4-17d6 17d9-17da 1803 1809 1944-1945 1aa8-1aab 1b5a-1b5b 1b5e-1b5f 1b7d-1b7e "
    "1c3b-1c3c 1c7e-1c7f 203c-203d 2047-2049 2e2e 2e3c 2e53-2e54 3002 a4ff a60e-a60f a6f3 a6f7 "
    "a876-a877 a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb fe52 fe56-fe57 ff01 ff0e ff1f ff61 "
    "10a56-10a57 10f55-10f59 10f86-10f89 11047-11048 110be-110c1 11141-11143 111c5-111c6 111cd "
    "111de-111df 11238-11239 1123b-1123c 112a9 1144b-1144c 115c2-115c3 115c9-115d7 11641-11642 "
    "1173c-1173e 11944 11946 11a42-11a43 11a9b-11a9c 11c41-11c42 11ef7-11ef8 11f43-11f44 "
    "16a6e-16a6f 16af5 16b37-16b38 16b44 16e98 1bc9f 1da88"
)

# What datatrove 0.10 counts as punctuation (PUNCTUATION_SET, with a digit among it): a word made of
# these alone is a symbol.
PUNCTUATION_CHARACTERS = (
    frozenset("!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»")
    | in_ranges("0-8 b-1f 7f-9f")  # control characters but tab and line feed
    | TERMINAL_PUNCTUATION
)

# Letters to Unicode (its property Alphabetic), though not to str.isalpha: numerals such as "Ⅷ" and circled ones.
# Vowel signs, which stand only beside letters, are left out.
OTHER_LETTERS = in_ranges(
    "16ee-16f0 2160-2182 2185-2188 24b6-24e9 3007 3021-3029 3038-303a a6e6-a6ef 10140-10174 10341 1034a "
    "103d1-103d5 12400-1246e 1f130-1f149 1f150-1f169 1f170-1f189"
)

LINE_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # where str.splitlines cuts


@functools.cache
def classes() -> np.ndarray:
    """Return uint8 (LIMIT,): the classes of each code point, or-ed. WORD is what \\w matches, ALPHABETIC is ALPHA
    and OTHER_LETTERS."""
    text = [chr(c) for c in range(LIMIT)]
    table = np.fromiter(map(str.isspace, text), np.uint8, LIMIT) * np.uint8(SPACE)
    table |= np.fromiter(map(str.isalpha, text), np.uint8, LIMIT) * np.uint8(ALPHA)
    table |= np.fromiter(map(str.isalnum, text), np.uint8, LIMIT) * np.uint8(WORD)
    table[ord("_")] |= WORD
    table[table & ALPHA != 0] |= np.uint8(ALPHABETIC)
    for characters, flag in (
        (PUNCTUATION_CHARACTERS, PUNCTUATION),
        (LINE_BREAKS, LINE_BREAK),
        (TERMINAL_PUNCTUATION, TERMINAL),
        (OTHER_LETTERS, ALPHABETIC),
    ):
        table[[ord(c) for c in characters]] |= np.uint8(flag)
    return table


@functools.cache
def lower_case() -> np.ndarray:
    """Return uint32 (LIMIT,): each code point's lower case where that is one code point, else itself."""
    whole = "".join(map(chr, range(LIMIT))).replace("\u0130", "i")  # the one whose lower case is two
    table = np.frombuffer(whole.lower().encode("utf-32-le", "surrogatepass"), np.uint32).copy()
    table[0x130], table[0x3A3] = 0x130, 0x3C3  # sigma is lowered by its neighbours in a string
    return table
