"""The signals of a text that heuristic filters judge by: what they mean, and how to measure them.

A signal is a count, or a count divided by another. Counts come in groups, each of which is one
compiled function that walks a text while it lies in the cache (curator.kernels.counts, .marks,
.word_counts, .line_counts, .repeats, .ngrams, .phrases); a group that no requested signal needs is left
out. To add a signal, name it in SIGNALS; if it needs a new count, name that in GROUPS and count it in
`_count_texts`.

Words are what str.split() returns, of the text or of another that a tokeniser made of it. Lines are those
of str.splitlines for bullets and ellipses, and the parts between newlines for all else, as in datatrove
0.10. Names of signals that follow NeMo Curator or dolma where they differ from datatrove say so in their
definitions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curator.kernels.bits import compiled
from curator.kernels.c4_counts import count_c4
from curator.kernels.counts import PADDING, char_classes, copy_padded, count_kinds, count_symbols, count_urls
from curator.kernels.line_counts import count_duplicate_lines, count_lines, count_split_lines
from curator.kernels.marks import KINDS, blocks, find_newlines, mark
from curator.kernels.ngrams import count_duplicate_ngrams, count_top_ngrams, sieve_size
from curator.kernels.phrases import count_boilerplate
from curator.kernels.repeats import count_paragraphs, count_sections, empty_table, table_size
from curator.kernels.sentences import sentence_classes
from curator.kernels.word_counts import count_middle, count_words

GROUPS = {
    "symbols": ("hashes", "ellipses"),
    "kinds": ("other_characters", "digits", "white_spaces", "brackets"),
    "urls": ("url_characters",),
    "words": (
        "words", "word_characters", "longest_word", "nonsymbol_words", "nonsymbol_characters", "alpha_words",
        "letter_words", "sign_words", "symbol_words", "stop_words", "stop_word_places",
    ),
    "middle": ("middle_words", "middle_word_characters"),
    "lines": (
        "newlines", "text_lines", "terminal_lines", "short_lines", "unended_lines", "more_lines", "round_bullet_lines",
        "lines", "bullet_lines", "ellipsis_lines", "newline_parts", "star_lines", "dots_lines",
    ),
    "repeats": (
        "split_lines", "duplicate_lines", "duplicate_line_characters", "inline_characters", "text_line_characters",
        "duplicate_text_lines", "duplicate_text_line_characters", "unique_text_lines", "unique_text_line_characters",
        "recurring_lines", "recurring_line_characters",
    ),
    "paragraphs": ("paragraphs", "duplicate_paragraphs", "duplicate_paragraph_characters"),
    "sections": ("sections", "unique_sections", "section_characters", "unique_section_characters"),
    "boilerplate": ("boilerplate_sections",),
    "top_ngrams": tuple(f"top_{n}_gram{letters}" for letters in ("", "_letters") for n in (2, 3, 4)),
    "deleted_ngrams": tuple(f"deleted_{n}_gram" for n in (2, 3, 4)),
    "repeating_ngrams": tuple(
        f"{kind}_{n}_gram" for kind in ("repeated", "recurring", "all") for n in (5, 6, 7, 8, 9, 10)
    ),
    "duplicate_ngrams": tuple(f"duplicate_{n}_gram" for n in (5, 6, 7, 8, 9, 10)),
    "c4": ("lorem_ipsum", "curly_brackets", "sentences"),
}  # fmt: skip
NEEDS = {
    "words": ("middle", "top_ngrams", "deleted_ngrams", "repeating_ngrams", "duplicate_ngrams"),
    "lines": ("repeats",),
    "sections": ("boilerplate",),
    "top_ngrams": ("deleted_ngrams", "repeating_ngrams"),
}  # group -> groups that need it filled first
COUNTS = np.dtype([(name, np.int64) for name in ("characters", *(name for g in GROUPS.values() for name in g))])


class Wanted(NamedTuple):
    """Which groups of counts to fill."""

    symbols: bool
    kinds: bool
    urls: bool
    words: bool
    middle: bool
    lines: bool
    repeats: bool
    paragraphs: bool
    sections: bool
    boilerplate: bool
    top_ngrams: bool
    deleted_ngrams: bool
    repeating_ngrams: bool
    duplicate_ngrams: bool
    c4: bool


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
    "mean_length_of_words": Signal("word_characters", "words", "characters of the words, by their number"),
    "median_length_of_words": Signal(
        "middle_word_characters",
        "middle_words",
        "characters of the word in the middle by length, the mean of two (dolma)",
    ),
    "longest_word": Signal("longest_word", None, "characters of the longest word"),
    "letter_words": Signal(
        "letter_words",
        "words",
        "fraction of the words that hold what Unicode calls alphabetic, vowel signs aside (NeMo)",
    ),
    "symbol_words": Signal(
        "symbol_words", "words", "fraction of the words that are an ellipsis, or of '#' by more than half (NeMo)"
    ),
    "sign_words": Signal("sign_words", "words", "fraction of the words that hold '#' or '…' (dolma)"),
    "stop_word_places": Signal("stop_word_places", None, "number of the words that are one of the eight stop words"),
    "other_characters": Signal(
        "other_characters",
        "characters",
        "fraction of the characters that are no ASCII letter, digit, newline or ?!,. (NeMo)",
    ),
    "digits": Signal("digits", "characters", "fraction of the characters that are 0 to 9 (NeMo)"),
    "white_space": Signal(
        "white_spaces",
        "characters",
        "fraction of the characters that are space, tab, newline, return, backspace (NeMo)",
    ),
    "brackets": Signal("brackets", "characters", "fraction of the characters that are one of ()[]{}⟨⟩ (NeMo)"),
    "url_characters": Signal(
        "url_characters", "characters", "fraction of the characters in http and https URLs (NeMo)"
    ),
    "text_lines": Signal("text_lines", None, "lines between newlines, but for those of white space alone"),
    "terminal_lines": Signal(
        "terminal_lines", "text_lines", "fraction of the lines with text that end in a terminal mark, of any script"
    ),
    "short_lines": Signal("short_lines", "text_lines", "fraction of the lines with text of 30 characters or less"),
    "newline_ratio": Signal("newlines", "words", "number of newlines by words"),
    "unended_lines": Signal(
        "unended_lines", "text_lines", "fraction of the lines with text that do not end in one of .?!\"' (NeMo)"
    ),
    "more_lines": Signal(
        "more_lines", "text_lines", "fraction of the lines with text that end in an ellipsis, or 'read more' (NeMo)"
    ),
    "round_bullet_lines": Signal(
        "round_bullet_lines",
        "text_lines",
        "fraction of the lines with text that start with one of twelve bullets (NeMo)",
    ),
    "star_lines": Signal(
        "star_lines", "newline_parts", "fraction of the lines, empty ones too, that start with '*' or '-' (dolma)"
    ),
    "dots_lines": Signal(
        "dots_lines", "newline_parts", "fraction of the lines, empty ones too, that end in '…' (dolma)"
    ),
    "duplicate_text_line_characters": Signal(
        "duplicate_text_line_characters",
        "inline_characters",
        "fraction of the characters but newlines in lines with text that stand earlier already (FineWeb)",
    ),
    "unique_text_lines": Signal(
        "unique_text_lines", "text_lines", "fraction of the lines with text that are left without duplicates (NeMo)"
    ),
    "unique_text_line_characters": Signal(
        "unique_text_line_characters", "text_line_characters", "the same by characters (NeMo)"
    ),
    "unique_sections": Signal(
        "unique_sections", "sections", "fraction of the parts between '\\n\\n' that are left without duplicates (NeMo)"
    ),
    "unique_section_characters": Signal(
        "unique_section_characters", "section_characters", "the same by characters (NeMo)"
    ),
    "boilerplate_sections": Signal(
        "boilerplate_sections",
        "sections",
        "fraction of the parts between '\\n\\n' with a cookie or policy phrase (NeMo)",
    ),
    "duplicate_lines": Signal("duplicate_lines", "split_lines", "fraction of the lines that stand earlier already"),
    "duplicate_line_characters": Signal(
        "duplicate_line_characters", "characters", "fraction of the characters in duplicate lines"
    ),
    "recurring_lines": Signal(
        "recurring_lines", "newline_parts", "fraction of the lines, empty ones too, that occur more than once (dolma)"
    ),
    "recurring_line_characters": Signal(
        "recurring_line_characters",
        "word_characters",
        "characters of the lines that occur more than once, by those of the words (dolma)",
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
        f"top_{n}_gram_letters": Signal(
            f"top_{n}_gram_letters",
            "word_characters",
            f"fraction of the words' characters in the most frequent {n}-gram, all its occurrences (dolma)",
        )
        for n in (2, 3, 4)
    },
    **{
        f"deleted_{n}_gram_characters": Signal(
            f"deleted_{n}_gram",
            "characters",
            f"fraction of the characters that go with the most frequent {n}-gram, wherever the text holds it (NeMo)",
        )
        for n in (2, 3, 4)
    },
    **{
        f"repeated_{n}_gram_characters": Signal(
            f"repeated_{n}_gram",
            "characters",
            f"fraction of the characters in {n}-grams that stand earlier already, overlaps once (NeMo)",
        )
        for n in (5, 6, 7, 8, 9, 10)
    },
    **{
        f"recurring_{n}_grams": Signal(
            f"recurring_{n}_gram",
            f"all_{n}_gram",
            f"fraction of the {n}-grams that occur more than once, by the characters of their words (dolma)",
        )
        for n in (5, 6, 7, 8, 9, 10)
    },
    **{
        f"duplicate_{n}_gram_characters": Signal(
            f"duplicate_{n}_gram", "characters", f"fraction of the characters in duplicate {n}-grams"
        )
        for n in (5, 6, 7, 8, 9, 10)
    },
    "lorem_ipsum": Signal("lorem_ipsum", None, "number of 'lorem ipsum', in any case"),
    "curly_brackets": Signal("curly_brackets", None, "number of '{'"),
    "sentences": Signal("sentences", None, "sentences, by the rule of curator.kernels.sentences"),
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
    longest text: by about 15 bytes for each byte of prose, 45 at worst (one letter a word).
    """
    needed = [_DEFINITIONS[name] for name in names]
    used = [signal.dividend for signal in needed] + [signal.divisor or "characters" for signal in needed]
    texts = (offsets, data)
    counts = _count(texts, words or texts, set(used))
    return {name: _divide(counts, signal) for name, signal in zip(names, needed)}


def _divide(counts: np.ndarray, signal: Signal) -> np.ndarray:
    if signal.divisor is None:
        return counts[signal.dividend].copy()
    divisor, quotient = counts[signal.divisor], np.zeros(len(counts))
    np.divide(counts[signal.dividend], divisor, out=quotient, where=divisor != 0)
    return quotient


def _count(texts: tuple[np.ndarray, np.ndarray], words: tuple[np.ndarray, np.ndarray], names: set[str]) -> np.ndarray:
    """Return COUNTS (texts,), filled for the groups of `names`. `words` is `texts`, or the words of each, apart."""
    counts = np.zeros(len(texts[0]) - 1, COUNTS)
    groups = {group for group, members in GROUPS.items() if not names.isdisjoint(members)}
    for needed, by in reversed(NEEDS.items()):
        if groups.intersection(by):
            groups.add(needed)
    views = texts[0].view(), texts[1].view(), words[0].view(), words[1].view()
    for view in views:
        view.flags.writeable = False  # as Arrow's buffers are: one compiled version serves all callers
    asked = Wanted(**{group: group in groups for group in GROUPS})
    _count_texts(*views, char_classes(), sentence_classes(), words is not texts, asked, counts)
    return counts


@compiled
def _count_texts(
    offsets: np.ndarray,
    data: np.ndarray,
    word_offsets: np.ndarray,
    word_data: np.ndarray,
    classes: np.ndarray,
    sentence_marks: np.ndarray,
    apart: bool,
    wanted: Wanted,
    counts: np.ndarray,
) -> None:
    longest = 0
    for i in range(len(counts)):
        longest = max(longest, offsets[i + 1] - offsets[i], word_offsets[i + 1] - word_offsets[i])
    most_words = longest // 2 + 2  # and most sections
    buffer, word_buffer = np.zeros(longest + PADDING, np.uint8), np.zeros(longest + PADDING if apart else 0, np.uint8)
    marks = np.empty((blocks(longest), KINDS), np.uint64)
    word_marks = np.empty((blocks(longest) if apart else 0, KINDS), np.uint64)
    newline_places = np.empty(longest + 1, np.uint32)
    index = (
        np.empty(longest + PADDING, np.uint8),
        np.empty(most_words, np.uint64),
        np.empty(most_words, np.uint32),
        np.empty(most_words, np.uint32),
    )
    space = np.empty(table_size(most_words), np.uint64)
    sieve = np.empty(sieve_size(most_words), np.uint8)
    places, times = np.empty(most_words, np.uint32), np.empty(most_words, np.uint32)
    flags = np.empty(most_words + 1, np.bool_)
    keys = np.empty((most_words, 2), np.uint64)
    scratch = (space, sieve, places, times, flags, keys)
    needle = np.empty(longest + PADDING, np.uint8)
    for i in range(len(counts)):
        size = offsets[i + 1] - offsets[i]
        copy_padded(data, offsets[i], size, buffer)
        text, row = buffer[:size], counts[i]
        row.characters, has_breaks = mark(text, classes, marks)
        newlines = newline_places[: find_newlines(marks, size, newline_places)]
        if wanted.symbols:
            count_symbols(text, row)
        if wanted.kinds:
            count_kinds(text, row)
        if wanted.urls:
            count_urls(text, row)
        if wanted.words and apart:
            word_size = word_offsets[i + 1] - word_offsets[i]
            copy_padded(word_data, word_offsets[i], word_size, word_buffer)
            mark(word_buffer[:word_size], classes, word_marks)
            count_words(word_buffer[:word_size], word_marks, index, row)
        elif wanted.words:
            count_words(text, marks, index, row)
        if wanted.middle:
            count_middle(index[3], places, row)
        if wanted.lines:
            count_lines(text, classes, newlines, row)
            if has_breaks:
                count_split_lines(text, classes, row)
        if wanted.repeats:
            table = empty_table(space, min(len(newlines), size // 2) + 1)  # empty lines are not looked up
            count_duplicate_lines(text, classes, newlines, table, row)
        if wanted.paragraphs:
            count_paragraphs(text, classes, newlines, empty_table(space, len(newlines) // 2 + 2), row)
        if wanted.sections:
            sections = count_sections(text, newlines, empty_table(space, len(newlines) // 2 + 2), places, row)
            if wanted.boilerplate:
                count_boilerplate(text, places, sections, flags, row)
        if wanted.top_ngrams:
            count_top_ngrams(text, index, scratch, needle, wanted.deleted_ngrams, wanted.repeating_ngrams, row)
        if wanted.duplicate_ngrams:
            count_duplicate_ngrams(index, scratch, row)
        if wanted.c4:
            count_c4(text, sentence_marks, row)
