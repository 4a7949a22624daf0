"""The heuristic filters for English text of NeMo Curator (its configuration heuristic_filter_en, 0.9 and 1.x)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from curator.stage import Filter, Pass, Rule, Schema, at_least, at_most

COUNTS = ("characters", "words", "stop_word_places", "longest_word")  # the signals that are no fractions
NGRAMS = {"deleted": (2, 3, 4), "repeated": (5, 6, 7, 8, 9, 10)}


@dataclass(frozen=True)
class NemoEnglish(Filter):
    """Drop texts by NeMo Curator's 28 filters for English: kinds of characters, words, lines and repetition.

    Limits, definitions and order are those of its code; where it calls the least share of unique lines
    `max_repeated_...`, the name here says what the limit is. Words are text.split(), lines the parts between
    newlines with more than white space, paragraphs the parts between two newlines. A missing text is judged
    as an empty one, and that is dropped. Where NeMo Curator takes any of equally frequent n-grams, by the order
    of a set, this takes the first; where it fails on white space alone, dividing by 0, this drops the text.
    """

    min_characters: int = 1  # ours: NeMo Curator gives an empty text a score that its first filter rejects
    max_other_characters: float = 0.25  # fraction of the characters: no ASCII letter, digit, newline or "?!,."
    max_symbol_words: float = 0.1  # fraction of the words: ellipses, or of "#" by more than half
    max_digits: float = 0.15  # fraction of the characters
    max_url_characters: float = 0.2  # fraction of the characters
    max_white_space: float = 0.25  # fraction of the characters
    max_brackets: float = 0.1  # fraction of the characters: ()[]{}⟨⟩
    max_boilerplate_sections: float = 0.4  # fraction of the paragraphs that hold a phrase of cookie notices or policies
    min_unique_text_lines: float = 0.7  # fraction of the lines
    min_unique_sections: float = 0.7  # fraction of the paragraphs
    min_unique_text_line_characters: float = 0.8  # fraction of the lines' characters
    min_unique_section_characters: float = 0.8  # fraction of the paragraphs' characters
    min_words: int = 50
    max_words: int = 100_000
    max_unended_lines: float = 0.85  # fraction of the lines that do not end in . ? ! " or '
    min_letter_words: float = 0.8  # fraction of the words with a letter
    min_stop_words: int = 2  # words that are one of the, be, to, of, and, that, have, with; the same one may count twice
    max_mean_word_length: float = 10.0  # characters
    min_mean_word_length: float = 3.0
    max_word_length: int = 1000  # characters
    max_more_lines: float = 0.3  # fraction of the lines that end in an ellipsis or "read more"
    max_deleted_2_gram_characters: float = 0.20  # fraction of the characters that go with the most frequent n-gram
    max_deleted_3_gram_characters: float = 0.18
    max_deleted_4_gram_characters: float = 0.16
    max_repeated_5_gram_characters: float = 0.15  # fraction of the characters in n-grams that stood before
    max_repeated_6_gram_characters: float = 0.14
    max_repeated_7_gram_characters: float = 0.13
    max_repeated_8_gram_characters: float = 0.12
    max_repeated_9_gram_characters: float = 0.11
    max_repeated_10_gram_characters: float = 0.10
    max_round_bullet_lines: float = 0.9  # fraction of the lines that start with "•" or its like; "-" and "*" are none

    reads: ClassVar[Schema] = {"text": "string"}
    rules: ClassVar[tuple[Rule, ...]] = (
        at_least("empty", "characters", "min_characters"),
        at_most("other_characters", "other_characters", "max_other_characters"),
        at_most("symbol_words", "symbol_words", "max_symbol_words"),
        at_most("digits", "digits", "max_digits"),
        at_most("urls", "url_characters", "max_url_characters"),
        at_most("white_space", "white_space", "max_white_space"),
        at_most("brackets", "brackets", "max_brackets"),
        at_most("boilerplate", "boilerplate_sections", "max_boilerplate_sections"),
        at_least("repeated_lines", "unique_text_lines", "min_unique_text_lines"),
        at_least("repeated_paragraphs", "unique_sections", "min_unique_sections"),
        at_least("repeated_line_characters", "unique_text_line_characters", "min_unique_text_line_characters"),
        at_least("repeated_paragraph_characters", "unique_section_characters", "min_unique_section_characters"),
        at_least("few_words", "words", "min_words"),
        at_most("many_words", "words", "max_words"),
        at_most("unended_lines", "unended_lines", "max_unended_lines"),
        at_least("few_letter_words", "letter_words", "min_letter_words"),
        at_least("few_stop_words", "stop_word_places", "min_stop_words"),
        at_most("long_words", "mean_length_of_words", "max_mean_word_length"),
        at_least("short_words", "mean_length_of_words", "min_mean_word_length"),
        at_most("longest_word", "longest_word", "max_word_length"),
        at_most("ellipsis_lines", "more_lines", "max_more_lines"),
        *(
            at_most(name, name, f"max_{name}")
            for name in (f"{kind}_{n}_gram_characters" for kind, lengths in NGRAMS.items() for n in lengths)
        ),
        at_most("bullet_lines", "round_bullet_lines", "max_round_bullet_lines"),
    )
    signals: ClassVar[Schema] = {rule.signal: "int64" if rule.signal in COUNTS else "float64" for rule in rules}
    shared_pass = Pass("text_signals")
