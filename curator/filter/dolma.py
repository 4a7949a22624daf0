"""The repetition rules of Dolma's web text (Soldaini et al. 2024, arXiv:2402.00159; dolma's tagger gopher_v1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from curator.filter.words import SPACES
from curator.stage import Filter, Rule, Schema, at_most


@dataclass(frozen=True)
class DolmaRepetition(Filter):
    """Drop texts that repeat lines or n-grams of words, by dolma's definitions, which are not datatrove's.

    All occurrences of what occurs more than once count, the first one too. Lines are text.split("\\n"), empty ones
    as well: where blank lines stand between paragraphs, most texts are dropped, unless RemoveBlankLines with
    max_blank_lines=0 stands before. Words are text.split(); the most frequent n-gram counts even if it occurs once.

    Limits and order are those of dolma's configs/dolma-v1_5/mixing/cc-head.yaml. That file asks for
    `..._most_common_2gram` (3, 4) where the tagger writes `..._2grams`: as published its three rules on the most
    frequent n-gram cannot reject, those on duplicate n-grams can, and None for the three decides as was run.

    An empty text, a missing one too, repeats nothing and is kept: GopherQuality drops it. Signals of a text
    without words are 0 where they are shares of words; dolma takes such a text for one character.
    """

    max_recurring_lines: float = 0.30  # fraction of the lines
    max_recurring_line_characters: float = 0.30  # by the characters of all words, so that it may exceed 1
    max_top_2_gram_letters: float | None = 0.20  # fraction of the words' characters
    max_top_3_gram_letters: float | None = 0.18
    max_top_4_gram_letters: float | None = 0.16
    max_recurring_5_grams: float = 0.15  # fraction of the 5-grams, by the characters of their words
    max_recurring_6_grams: float = 0.14
    max_recurring_7_grams: float = 0.13
    max_recurring_8_grams: float = 0.12
    max_recurring_9_grams: float = 0.11
    max_recurring_10_grams: float = 0.10

    reads: ClassVar[Schema] = {"text": "string"}
    signals: ClassVar[Schema] = {
        "recurring_lines": "float64",
        "recurring_line_characters": "float64",
        "top_2_gram_letters": "float64",
        "top_3_gram_letters": "float64",
        "top_4_gram_letters": "float64",
        "recurring_5_grams": "float64",
        "recurring_6_grams": "float64",
        "recurring_7_grams": "float64",
        "recurring_8_grams": "float64",
        "recurring_9_grams": "float64",
        "recurring_10_grams": "float64",
    }
    rules: ClassVar[tuple[Rule, ...]] = tuple(at_most(name, name, f"max_{name}") for name in signals)
    shared_pass = SPACES
