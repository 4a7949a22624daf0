"""Cut chunks into tokens as spaCy's tokeniser does: compiled loops over rules of affixes and special cases.

Prefixes and suffixes are taken off a chunk one by one until none is left, or what is left is a special case, whose
tokens are given; else it is cut at its infixes, but for URLs. What is one only a regular expression can tell, so
where a string has infixes and the character that each URL holds, the answer comes from outside.
"""

from typing import NamedTuple

import numpy as np

from curator.kernels.affix_rules import Rules
from curator.kernels.bits import borrowing, hash_inside
from curator.kernels.chunks import free_or_equal
from curator.kernels.counts import signed

UNKNOWN, NO, YES = 0, 1, 2  # whether a string is a URL


class Affixes(NamedTuple):
    """A tokeniser as tables.

    classes   # uint8, by code point
    cases     # ENTRY: strings that are a special case (`shown` tells its tokens) or have a number (`head`)
    longest   # bytes of the longest of these strings
    in_urls   # class that each URL holds
    """

    classes: np.ndarray
    prefixes: Rules
    suffixes: Rules
    infixes: Rules
    table: np.ndarray
    cases: np.ndarray
    arena: np.ndarray
    longest: int
    in_urls: int


class Text(NamedTuple):
    """Code points that are being cut: kinds[i] is the class of number i, which starts at byte places[i] of the data,
    and cuts[i] tells whether a token ends before it."""

    data: np.ndarray
    kinds: np.ndarray
    places: np.ndarray
    cuts: np.ndarray


@borrowing
def match_end(rules: Rules, rule: int, kinds: np.ndarray, i: int, low: int, high: int) -> int:
    """Return where the affix ends that the rule finds at i, seeing kinds[low:high] only; -1 where it finds none."""
    before, size = rules.shapes[rule, 0], rules.shapes[rule, 1]
    stop: int = i + size
    if i - before < low or stop > high:
        return -1
    for k in range(before + size):
        if not rules.members[rules.sets[rule, k], kinds[i - before + k]]:
            return -1
    after = rules.shapes[rule, 3]
    if after != 0:
        follows = stop < high and rules.members[rules.sets[rule, before + size], kinds[stop]]
        return stop if follows == (after > 0) else -1
    if rules.shapes[rule, 2]:
        while stop < high and rules.members[rules.sets[rule, size - 1], kinds[stop]]:
            stop += 1
    return stop


@borrowing
def first_end(rules: Rules, kinds: np.ndarray, i: int, low: int, high: int) -> int:
    """Return where the prefix or infix ends that starts at i: of the first rule that finds one; -1 for none."""
    kind = kinds[i]
    for k in range(rules.candidates[kind], rules.candidates[kind + 1]):
        stop = match_end(rules, rules.numbers[k], kinds, i, low, high)
        if stop >= 0:
            return stop
    return -1


@borrowing
def suffix_start(rules: Rules, kinds: np.ndarray, low: int, high: int) -> int:
    """Return where the longest suffix of kinds[low:high] starts; `high` for none."""
    best, kind = high, kinds[high - 1]
    for k in range(rules.candidates[kind], rules.candidates[kind + 1]):
        rule = rules.numbers[k]
        size = rules.shapes[rule, 1]
        start = high - size
        if match_end(rules, rule, kinds, start, low, high) < 0:
            continue
        while rules.shapes[rule, 2] and start > low and rules.members[rules.sets[rule, 0], kinds[start - 1]]:
            start -= 1
        best = min(best, start)
    return best


@borrowing
def find_case(tokeniser: Affixes, text: Text, low: int, high: int) -> int:
    """Return the entry of code points [low, high) among the special cases and their tokens, 0 for none."""
    start, stop = text.places[low], text.places[high]
    if stop - start > tokeniser.longest:
        return 0
    key = hash_inside(text.data, start, stop)
    slot = free_or_equal(tokeniser.table, tokeniser.cases, tokeniser.arena, text.data, start, stop - start, key)
    return signed(tokeniser.table[slot])


@borrowing
def cut_affixes(tokeniser: Affixes, text: Text, low: int, high: int) -> tuple[int, int, int]:
    """Cut prefixes and suffixes off a chunk. Return (start, stop) of what is left, and its special case, 0 for none."""
    before = -1
    while low < high and high - low != before:
        before = high - low
        case = find_case(tokeniser, text, low, high)
        if tokeniser.cases[case].shown_bytes > 0:
            return low, high, case
        start = max(first_end(tokeniser.prefixes, text.kinds, low, low, high), low)
        if low < start < high:
            case = find_case(tokeniser, text, start, high)
            if tokeniser.cases[case].shown_bytes > 0:
                text.cuts[start] = True
                return start, high, case
        stop = suffix_start(tokeniser.suffixes, text.kinds, start, high) if start < high else high
        if low < stop < high:
            case = find_case(tokeniser, text, low, stop)
            if tokeniser.cases[case].shown_bytes > 0:
                text.cuts[stop] = True
                return low, stop, case
        if low < start < high:
            text.cuts[start] = True
        if low < stop < high:
            text.cuts[stop] = True
        low, high = start, stop
    return low, high, 0


@borrowing
def cut_case(tokeniser: Affixes, text: Text, low: int, case: int) -> None:
    """Cut a special case into its tokens."""
    entry = tokeniser.cases[case]
    place, i = text.places[low], low
    for k in range(entry.shown, entry.shown + signed(entry.shown_bytes)):
        if tokeniser.arena[k] != ord(" "):
            place += 1
            continue
        while text.places[i] < place:
            i += 1
        text.cuts[i] = True


@borrowing
def cut_infixes(tokeniser: Affixes, text: Text, low: int, high: int) -> None:
    """Cut before and after infixes but for one at the start."""
    i = low
    while i < high:
        stop = first_end(tokeniser.infixes, text.kinds, i, low, high)
        if stop < 0:
            i += 1
            continue
        if i > low:
            text.cuts[i] = True
        if low < i and stop < high:
            text.cuts[stop] = True
        i = stop


@borrowing
def may_be_url(tokeniser: Affixes, text: Text, low: int, high: int) -> bool:
    """Tell whether code points [low, high) hold what each URL does, and an infix."""
    holds = infix = False
    for i in range(low, high):
        holds = holds or text.kinds[i] == tokeniser.in_urls
    for i in range(low, high if holds else low):
        infix = infix or first_end(tokeniser.infixes, text.kinds, i, low, high) >= 0
    return infix


@borrowing
def cut_chunk(tokeniser: Affixes, text: Text, low: int, high: int, is_url: int) -> tuple[int, int]:
    """Cut a chunk, code points [low, high), into tokens.

    is_url  # whether what is left of it without affixes is a URL: YES, NO or UNKNOWN
    Return (start, stop) of what is left where that is UNKNOWN and decides, else (0, 0).
    """
    low, high, case = cut_affixes(tokeniser, text, low, high)
    if case > 0:
        cut_case(tokeniser, text, low, case)
    elif is_url == UNKNOWN and may_be_url(tokeniser, text, low, high):
        return low, high
    elif is_url != YES:
        cut_infixes(tokeniser, text, low, high)
    return 0, 0
