"""Gopher's heuristics for English text (Rae et al. 2021, arXiv:2112.11446, A.1.1 and Table A1).

The paper leaves open what a word and a line are. Both filters decide as datatrove 0.10 would, whose words
are spaCy's tokens: "don't" and "end." are two each. By default a word here is what text.split() returns, which
counts somewhat fewer; words="datatrove" takes those tokens. Unlike there, a limit of 0 is a limit: it does not
switch its rule off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from curator.filter.words import WordFilter
from curator.stage import Rule, Schema, at_least, at_most


@dataclass(frozen=True)
class GopherQuality(WordFilter):
    """Drop texts that do not look like prose: too short, too symbolic, all bullets, no stop words.

    The defaults are those of A.1.1. Words made of punctuation alone do not count for the limits of
    number and length, which the paper does not say. A missing text is judged as an empty one.
    """

    min_words: int = 50
    max_words: int = 100_000
    min_mean_word_length: float = 3.0  # characters
    max_mean_word_length: float = 10.0
    max_hash_ratio: float = 0.1  # "#" a word
    max_ellipsis_ratio: float = 0.1  # "..." and "…" a word
    max_bullet_lines: float = 0.9  # fraction of the lines
    max_ellipsis_lines: float = 0.3
    min_alpha_words: float = 0.8  # fraction of the words with a letter
    min_stop_words: int = 2  # different ones of the, be, to, of, and, that, have, with

    signals: ClassVar[Schema] = {
        "nonsymbol_words": "int64",
        "mean_word_length": "float64",
        "hash_ratio": "float64",
        "ellipsis_ratio": "float64",
        "bullet_lines": "float64",
        "ellipsis_lines": "float64",
        "alpha_words": "float64",
        "stop_words": "int64",
    }
    rules: ClassVar[tuple[Rule, ...]] = (
        at_least("few_words", "nonsymbol_words", "min_words"),
        at_most("many_words", "nonsymbol_words", "max_words"),
        at_least("short_words", "mean_word_length", "min_mean_word_length"),
        at_most("long_words", "mean_word_length", "max_mean_word_length"),
        at_most("hashes", "hash_ratio", "max_hash_ratio"),
        at_most("ellipses", "ellipsis_ratio", "max_ellipsis_ratio"),
        at_most("bullet_lines", "bullet_lines", "max_bullet_lines"),
        at_most("ellipsis_lines", "ellipsis_lines", "max_ellipsis_lines"),
        at_least("few_alpha_words", "alpha_words", "min_alpha_words"),
        at_least("few_stop_words", "stop_words", "min_stop_words"),
    )


@dataclass(frozen=True)
class GopherRepetition(WordFilter):
    """Drop texts that repeat lines, paragraphs or n-grams of words.

    The defaults are those of Table A1, in datatrove's order of rules; all are fractions, those of
    n-grams fractions of the characters. The most frequent n-gram counts even if it occurs once, so
    very short texts are dropped; an empty text is dropped as such.
    """

    min_characters: int = 1  # ours: drops what datatrove calls empty
    max_duplicate_paragraphs: float = 0.30
    max_duplicate_paragraph_characters: float = 0.20
    max_duplicate_lines: float = 0.30
    max_duplicate_line_characters: float = 0.20
    max_top_2_gram_characters: float = 0.20
    max_top_3_gram_characters: float = 0.18
    max_top_4_gram_characters: float = 0.16
    max_duplicate_5_gram_characters: float = 0.15
    max_duplicate_6_gram_characters: float = 0.14
    max_duplicate_7_gram_characters: float = 0.13
    max_duplicate_8_gram_characters: float = 0.12
    max_duplicate_9_gram_characters: float = 0.11
    max_duplicate_10_gram_characters: float = 0.10

    signals: ClassVar[Schema] = {
        "characters": "int64",
        "duplicate_paragraphs": "float64",
        "duplicate_paragraph_characters": "float64",
        "duplicate_lines": "float64",
        "duplicate_line_characters": "float64",
        "top_2_gram_characters": "float64",
        "top_3_gram_characters": "float64",
        "top_4_gram_characters": "float64",
        "duplicate_5_gram_characters": "float64",
        "duplicate_6_gram_characters": "float64",
        "duplicate_7_gram_characters": "float64",
        "duplicate_8_gram_characters": "float64",
        "duplicate_9_gram_characters": "float64",
        "duplicate_10_gram_characters": "float64",
    }
    rules: ClassVar[tuple[Rule, ...]] = (
        at_least("empty", "characters", "min_characters"),
        *(at_most(name, name, f"max_{name}") for name in signals if name != "characters"),
    )
