"""Words of a text as a list of words compares them: without case, width, invisible characters and look-alikes.

* A token is a run of letters, digits, `_` and marks; of scripts without spaces between words (Han, kana, Thai, Lao,
  Khmer, Burmese) each character; and any other visible character by itself. White space parts tokens.
* Unicode's default ignorable characters (zero width space and joiners, soft hyphen, variation selectors, directional
  marks, tags) are left out; the rest is folded as NFKC and full case folding do: full width, ligatures, circled and
  mathematical letters.
* Within a token that has an ASCII letter, Cyrillic and Greek letters that look like ASCII ones are these.

Not undone: tokens wholly of another script's look-alikes, digits and signs for letters (l33t, b@d), letters that are
spaced out (b a d), misspellings. That is a classifier's or a judge's work.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator

# Unicode 16, DerivedCoreProperties.txt: Default_Ignorable_Code_Point
IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
UNSPACED = (
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0edc-\u0edf"  # Thai, Lao
    "\u1000-\u102a\u103f\u1050-\u1055\u1780-\u17b3\u17dc"  # Burmese, Khmer
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9d"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
KANA_MARKS = "\uff9e\uff9f"  # half-width voicing marks: letters to Unicode, marks to readers
LAST = 0x20000  # code points from here on are Han, or ignorable
LOOK_ALIKES = str.maketrans(
    "абвеһіјкмнорсԁԛѕтуԝхѵӏ" + "αβεηικνορτυχϲϳ" + "ıɑɡ",
    "abbehijkmhopcdqstywxvl" + "abenikvoptuxcj" + "iag",
)
Token = tuple[str, int, int]  # folded; where it begins and ends in the text


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a text, in time in proportion to its length."""
    if text.isascii():
        for found in _ascii().finditer(text.lower()):
            yield found.group(), found.start(), found.end()
        return
    for found in _any().finditer(text):
        for piece in _folded(found.group()):
            yield piece, found.start(), found.end()


@functools.lru_cache(maxsize=1 << 14)
def _folded(token: str) -> tuple[str, ...]:
    """Return what a token becomes: nothing, where it is invisible; several tokens, as a sign for a phrase does."""
    if token.isascii():
        return (token.lower(),)
    visible = re.sub(f"[{IGNORABLE}]", "", token)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())
    if any("a" <= char <= "z" for char in folded):
        folded = folded.translate(LOOK_ALIKES)
    return tuple(_any().findall(folded))


@functools.cache
def _ascii() -> re.Pattern[str]:
    return re.compile(r"\w+|[^\w\s]", re.ASCII)


@functools.cache
def _any() -> re.Pattern[str]:
    """Return the pattern of a token. 0.1 s, once a process."""
    every = [chr(code) for code in range(0x300, LAST)]
    marks = "".join(char for char in every if unicodedata.category(char)[0] == "M")
    # circled letters and their like are signs to Unicode, and read as letters
    signs = "".join(c for c in every if not c.isalnum() and unicodedata.normalize("NFKC", c).isalnum())
    within = f"{marks}{IGNORABLE}"
    return re.compile(rf"[{UNSPACED}][{within}{KANA_MARKS}]*|(?:[^\W{UNSPACED}]|[{signs}{within}])+|\S")
