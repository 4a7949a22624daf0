"""Find special cases in sequences of tokens, as spaCy's tokeniser does: compiled loops.

It looks for them once a text is cut into tokens, across single spaces too. The longest come first, then the
leftmost; one that begins or ends inside one met before is passed over, and so are those inside it. What is left
becomes the tokens of its case, or stays where a space is in it.
"""

from typing import NamedTuple

import numpy as np

from curator.kernels.affixes import Affixes, Text, cut_case, find_case
from curator.kernels.bits import borrowing
from curator.kernels.counts import signed


class Sequences(NamedTuple):
    """Special cases as sequences of numbers of tokens.

    rows   # (cases, longest) uint8, ordered, zeros after each
    sizes  # (cases,) int64
    first  # (257,) int64: where the rows start that begin with a number
    pairs  # bool (256, 256): tokens of these numbers stand side by side in some case
    """

    rows: np.ndarray
    sizes: np.ndarray
    first: np.ndarray
    pairs: np.ndarray


class Tokens(NamedTuple):
    """Tokens of a text: their code points [starts, stops) and numbers (0 for those of no case); `lengths` has bit n
    where a case of n tokens begins, `taken` tells which are in one that was met."""

    starts: np.ndarray
    stops: np.ndarray
    numbers: np.ndarray
    lengths: np.ndarray
    taken: np.ndarray


@borrowing
def find_sequences(sequences: Sequences, tokens: Tokens, count: int) -> bool:
    """Write down `lengths`; return whether any case was found."""
    some = False
    for i in range(count):
        tokens.lengths[i], tokens.taken[i] = 0, False
        number = signed(tokens.numbers[i])
        if i + 1 == count or not sequences.pairs[number, tokens.numbers[i + 1]]:
            continue
        for row in range(sequences.first[number], sequences.first[number + 1]):
            size = sequences.sizes[row]
            k = 1
            while k < size and i + k < count and sequences.rows[row, k] == tokens.numbers[i + k]:
                k += 1
            if k == size:
                tokens.lengths[i] |= np.uint32(1 << size)
                some = True
    return some


@borrowing
def put_case(tokeniser: Affixes, text: Text, low: int, high: int) -> None:
    """Cut code points [low, high) as the special case that they are; they stay as they are where they are none."""
    case = find_case(tokeniser, text, low, high)
    if tokeniser.cases[case].shown_bytes > 0:
        text.cuts[low + 1 : high] = False
        cut_case(tokeniser, text, low, case)


@borrowing
def put_cases(tokeniser: Affixes, sequences: Sequences, text: Text, tokens: Tokens, count: int) -> None:
    """Cut the special cases that were found anew."""
    for size in range(sequences.rows.shape[1], 1, -1):
        for i in range(count - size + 1):
            if not tokens.lengths[i] >> np.uint32(size) & np.uint32(1):
                continue
            if not tokens.taken[i] and not tokens.taken[i + size - 1]:
                put_case(tokeniser, text, tokens.starts[i], tokens.stops[i + size - 1])
            tokens.taken[i : i + size] = True
