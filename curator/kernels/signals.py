"""The signals of a text that heuristic filters judge by: what they mean, and how to measure them.

A signal is a count, or a count divided by another. Counts come in groups, each of which is one
compiled function that walks a text while it lies in the cache (curator.kernels.counts and .repeats);
a group that no requested signal needs is left out. To add a signal, name it in SIGNALS; if it needs a
new count, name that in GROUPS and count it in `_count_texts`.

Words are what str.split() returns, of the text or of another that a tokeniser made of it. Lines are
those of str.splitlines for bullets and ellipses, and the parts between newlines for duplicates, as in
datatrove 0.10.
"""

from typing import NamedTuple

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.counts import (
    char_classes,
    characters,
    count_lines,
    count_symbols,
    count_words,
)
from curator.kernels.repeats import base_powers, count_line_repeats, count_ngrams, table_size

GROUPS = {
    "symbols": ("hashes", "ellipses"),
    "words": ("words", "nonsymbol_words", "nonsymbol_characters", "alpha_words", "stop_words"),
    "lines": ("lines", "bullet_lines", "ellipsis_lines"),
    "repeats": (
        "split_lines", "duplicate_lines", "duplicate_line_characters",
        "paragraphs", "duplicate_paragraphs", "duplicate_paragraph_characters",
    ),
    "ngrams": (
        *(f"top_{n}_gram" for n in (2, 3, 4)),
        *(f"duplicate_{n}_gram" for n in (5, 6, 7, 8, 9, 10)),
    ),
}  # fmt: skip
COUNTS = np.dtype([(name, np.int64) for name in ("characters", *(name for g in GROUPS.values() for name in g))])


class Wanted(NamedTuple):
    """Which groups of counts to fill."""

    symbols: bool
    words: bool
    lines: bool
    repeats: bool
    ngrams: bool


class Signal(NamedTuple):
    """A count, or its quotient by another."""

    dividend: str
    divisor: str | None
    definition: str


_DEFINITIONS = {
    "characters": Signal("characters", None, "code points"),
    "words": Signal("words", None, "words"),
    "nonsymbol_words": Signal("nonsymbol_words", None, "words with a character that is no punctuation"),
    "mean_word_length": Signal(
        "nonsymbol_characters", "nonsymbol_words", "characters of the nonsymbol words, by their number"
    ),
    "hash_ratio": Signal("hashes", "words", "number of '#' by words"),
    "ellipsis_ratio": Signal("ellipses", "words", "number of '...' and '…' by words"),
    "bullet_lines": Signal("bullet_lines", "lines", "fraction of the lines that start with '•' or '-'"),
    "ellipsis_lines": Signal("ellipsis_lines", "lines", "fraction of the lines that end in '...' or '…'"),
    "alpha_words": Signal("alpha_words", "words", "fraction of the words that hold a letter"),
    "stop_words": Signal("stop_words", None, "how many of the, be, to, of, and, that, have, with occur"),
    "duplicate_lines": Signal("duplicate_lines", "split_lines", "fraction of the lines that stand earlier already"),
    "duplicate_line_characters": Signal(
        "duplicate_line_characters", "characters", "fraction of the characters in duplicate lines"
    ),
    "duplicate_paragraphs": Signal(
        "duplicate_paragraphs", "paragraphs", "fraction of the paragraphs that stand earlier already"
    ),
    "duplicate_paragraph_characters": Signal(
        "duplicate_paragraph_characters", "characters", "fraction of the characters in duplicate paragraphs"
    ),
    **{
        f"top_{n}_gram_characters": Signal(
            f"top_{n}_gram",
            "characters",
            f"fraction of the characters in the most frequent {n}-gram, all its occurrences",
        )
        for n in (2, 3, 4)
    },
    **{
        f"duplicate_{n}_gram_characters": Signal(
            f"duplicate_{n}_gram", "characters", f"fraction of the characters in duplicate {n}-grams"
        )
        for n in (5, 6, 7, 8, 9, 10)
    },
}

SIGNALS = {name: ("float64" if signal.divisor else "int64", signal.definition) for name, signal in _DEFINITIONS.items()}


def measure(
    offsets: np.ndarray, data: np.ndarray, names: tuple[str, ...], words: tuple[np.ndarray, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Measure the signals `names` of the texts data[offsets[i]:offsets[i + 1]].

    offsets  # (texts + 1) int64
    data     # uint8: UTF-8
    words    # (offsets, data) of texts to take the words from; None: the same ones
    Returns (texts) int64 for a count, float64 for a quotient, 0.0 where the divisor is 0: so all
    signals of an empty text are 0. A text must be shorter than 4 GiB. Scratch memory grows with the
    longest text: by 11 bytes for each byte of prose, 19 at worst (one letter a word).
    """
    needed = [_DEFINITIONS[name] for name in names]
    used = [signal.dividend for signal in needed] + [signal.divisor or "characters" for signal in needed]
    counts = _count((offsets, data), words or (offsets, data), set(used))
    return {name: _divide(counts, signal) for name, signal in zip(names, needed)}


def _divide(counts: np.ndarray, signal: Signal) -> np.ndarray:
    if signal.divisor is None:
        return counts[signal.dividend].copy()
    divisor, quotient = counts[signal.divisor], np.zeros(len(counts))
    np.divide(counts[signal.dividend], divisor, out=quotient, where=divisor != 0)
    return quotient


def _count(texts: tuple[np.ndarray, np.ndarray], words: tuple[np.ndarray, np.ndarray], names: set[str]) -> np.ndarray:
    """Return COUNTS (texts,), filled for the groups of `names`."""
    counts = np.zeros(len(texts[0]) - 1, COUNTS)
    wanted = Wanted(**{group: not names.isdisjoint(members) for group, members in GROUPS.items()})
    views = texts[0].view(), texts[1].view(), words[0].view(), words[1].view()
    for view in views:
        view.flags.writeable = False  # as Arrow's buffers are: one compiled version serves all callers
    _count_texts(*views, char_classes(), base_powers(), wanted, counts)
    return counts


@compiled
def _count_texts(
    offsets: np.ndarray,
    data: np.ndarray,
    word_offsets: np.ndarray,
    word_data: np.ndarray,
    classes: np.ndarray,
    powers: np.ndarray,
    wanted: Wanted,
    counts: np.ndarray,
) -> None:
    longest = 0
    for i in range(len(counts)):
        longest = max(longest, offsets[i + 1] - offsets[i], word_offsets[i + 1] - word_offsets[i])
    most_words = longest // 2 + 2  # and most lines
    hashes = np.empty(longest + 1, np.uint64)
    ends = np.empty(most_words, np.uint32)
    scratch = np.empty(most_words, np.uint32)
    flags = np.empty(most_words, np.bool_)
    space = np.empty(table_size(most_words), np.uint64)
    for i in range(len(counts)):
        text, row = data[offsets[i] : offsets[i + 1]], counts[i]
        row.characters = characters(text)
        if wanted.symbols:
            count_symbols(text, row)
        if wanted.words or wanted.ngrams:
            count_words(word_data[word_offsets[i] : word_offsets[i + 1]], classes, hashes, ends, row)
        if wanted.lines:
            count_lines(text, classes, row)
        if wanted.repeats:
            count_line_repeats(text, classes, space, row)
        if wanted.ngrams:
            count_ngrams(row.words, (hashes, ends, powers), space, scratch, flags, row)
