"""Sentences of English text, by a rule that one pass over the bytes can follow.

In each line (str.splitlines) with something but white space there is one sentence, and one more for each end of
a sentence that a later word of the line follows; a word here is a run without white space that holds something
but punctuation. A sentence ends

* at ! or ? or another script's mark of the kind, or a full stop, that stands at the end of such a run, with
  nothing but closing quotes, brackets, symbols and other punctuation behind it;
* at one of 。！？｡ wherever it stands, and at a full stop between a lower-case and an upper-case letter.

A full stop does not end one

* beside another (an ellipsis);
* behind an upper-case letter, unless another one is before that (initials: "J.", "U.S.", but "NASA.");
* behind a single letter that a run starts with, one opening quote or bracket aside ("(p. 5)"), or where the
  letters and full stops before it are one of ABBREVIATIONS.

Case of what follows does not matter, as it does not to spaCy's sentencizer, which this stands in for.
"""

from __future__ import annotations

import functools
import unicodedata

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.counts import at, char_classes, decode, signed, skip_spaces
from curator.kernels.unicode import LIMIT, LINE_BREAK, TERMINAL_PUNCTUATION
from curator.kernels.unicode import SPACE as WHITE

SPACE, BREAK, CLOSING, PUNCTUATION, UPPER, LETTER, MARK, WIDE = (np.uint8(1 << i) for i in range(8))
STOP = ord(".")
WIDE_MARKS = "。！？｡"
# those of spaCy 3.8's English tokenizer that a full stop ends, so that most decisions are as with it
ABBREVIATIONS = (
    "Mr Mrs Ms Messrs Dr Prof Rev Gen Gov Sen Rep Adm St Mt Jr Sr Bros Co co Corp Inc Ltd vs v.s e.g E.g i.e I.e "
    "a.m p.m Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec "
    "Ak Ala Ariz Ark Calif Colo Conn Del Fla Ga Ia Id Ill Ind Kan Kans Ky La Mass Md Mich Minn Miss Mo Mont Neb "
    "Nebr Nev Okla Ore Pa Tenn Va Wash Wis"
).split()
_CODES = np.array(sorted(int.from_bytes(word.encode(), "big") for word in ABBREVIATIONS))
_LONGEST = max(map(len, ABBREVIATIONS))
_PLAIN = np.array([0x20 <= byte < 0x80 and chr(byte) not in ".!?" for byte in range(256)])


@functools.cache
def sentence_classes() -> np.ndarray:
    """Return uint8 (1 << 21,): what each number that `decode` returns is to the rule, or-ed."""
    table = np.zeros(1 << 21, np.uint8)
    classes = char_classes()
    table[classes & WHITE != 0] |= SPACE
    table[classes & LINE_BREAK != 0] |= BREAK
    text = [chr(c) for c in range(LIMIT)]
    kinds = [unicodedata.category(c) for c in text]
    table[:LIMIT] |= np.fromiter((kind[0] == "P" for kind in kinds), np.uint8, LIMIT) * (PUNCTUATION | CLOSING)
    table[:LIMIT] |= np.fromiter((kind == "So" for kind in kinds), np.uint8, LIMIT) * CLOSING
    table[:LIMIT] |= np.fromiter(map(str.isupper, text), np.uint8, LIMIT) * UPPER
    table[:LIMIT] |= np.fromiter(map(str.isalpha, text), np.uint8, LIMIT) * LETTER
    table[[ord(c) for c in "<>`´"]] |= CLOSING
    table[[ord(c) for c in TERMINAL_PUNCTUATION]] |= MARK | CLOSING | PUNCTUATION
    table[[ord(c) for c in WIDE_MARKS]] |= WIDE
    return table


@compiled
def count_sentences(text: np.ndarray, classes: np.ndarray) -> int:
    """Count the sentences of a text; `classes` are sentence_classes()."""
    found = 0
    line = skip_spaces(text, classes, 0)  # blank lines have none
    while line < len(text):
        found += 1
        i = line
        while i < len(text):
            if at(_PLAIN, at(text, i)):
                i += 1
                continue
            code, after = decode(text, i)
            kind = at(classes, code)
            if kind & BREAK:
                i = after
                break
            if kind & MARK:
                ends, after = _ends_sentence(text, line, i, after, code, classes)
                found += ends
            i = after
        line = skip_spaces(text, classes, i)
    return found


@compiled
def _ends_sentence(text: np.ndarray, line: int, i: int, after: int, code: int, classes: np.ndarray) -> tuple[bool, int]:
    """Tell whether a sentence ends at the mark at byte i of a line, and another begins in the line.

    `after` is the byte behind the mark. Return also the byte to read on from: no later mark before it counts.
    """
    if code == STOP and after < len(text) and text[after] == STOP:
        while after < len(text) and text[after] == STOP:
            after += 1
        return False, after
    wide = at(classes, code) & WIDE != 0
    if code == STOP and not _full_stop(text, line, i, classes):
        return False, after
    if code == STOP and _between_letters(text, line, i, after, classes):
        return True, after
    behind = after
    while not wide and behind < len(text):
        code, following = decode(text, behind)
        kind = at(classes, code)
        if kind & SPACE:
            break
        if not kind & CLOSING or kind & WIDE:
            return False, behind  # no mark in between ends a sentence either
        behind = following
    return _next_word(text, after, classes)


@compiled
def _next_word(text: np.ndarray, i: int, classes: np.ndarray) -> tuple[bool, int]:
    """Tell whether the line has a character from byte i that is no white space or punctuation, and where."""
    while i < len(text):
        code, after = decode(text, i)
        kind = at(classes, code)
        if kind & BREAK:
            break
        if not kind & (SPACE | PUNCTUATION):
            return True, i
        i = after
    return False, i


@compiled
def _between_letters(text: np.ndarray, line: int, i: int, after: int, classes: np.ndarray) -> bool:
    """Tell whether a full stop at byte i stands between a lower-case letter and an upper-case one."""
    if i == line or after == len(text):
        return False
    before = at(classes, decode(text, _before(text, i))[0])
    follows = at(classes, decode(text, after)[0])
    return bool(before & LETTER != 0 and not before & UPPER and follows & UPPER != 0)


@compiled
def _before(text: np.ndarray, i: int) -> int:
    """Return where the character that ends at byte i > 0 starts."""
    i -= 1
    while i > 0 and text[i] & 0xC0 == 0x80:
        i -= 1
    return i


@compiled
def _full_stop(text: np.ndarray, line: int, i: int, classes: np.ndarray) -> bool:
    """Tell whether the full stop at byte i of a line may end a sentence, by what is before it."""
    if i == line:
        return True
    last = _before(text, i)
    kind = at(classes, decode(text, last)[0])
    if kind & UPPER:
        return bool(last > line and at(classes, decode(text, _before(text, last))[0]) & UPPER != 0)
    if kind & LETTER:
        return not _opens(text, line, last, classes) and not _abbreviated(text, line, i)
    return True


@compiled
def _opens(text: np.ndarray, line: int, i: int, classes: np.ndarray) -> bool:
    """Tell whether a run without white space starts at byte i of a line, one opening quote or bracket aside."""
    kind = np.uint8(SPACE)
    if i > line:
        i = _before(text, i)
        kind = at(classes, decode(text, i)[0])
    if kind & PUNCTUATION:
        return bool(i == line or at(classes, decode(text, _before(text, i))[0]) & SPACE != 0)
    return bool(kind & SPACE != 0)


@compiled
def _abbreviated(text: np.ndarray, line: int, stop: int) -> bool:
    """Tell whether the letters and full stops that end at byte `stop` of a line are an abbreviation."""
    code, start = 0, stop
    while start > line and stop - start <= _LONGEST:
        byte = at(text, start - 1)
        if byte != STOP and not (ord("a") <= byte | 0x20 <= ord("z")):
            break
        code |= signed(byte) << 8 * (stop - start)
        start -= 1
    if stop - start > _LONGEST:
        return False
    place = np.searchsorted(_CODES, code)
    return bool(place < len(_CODES) and _CODES[place] == code)
