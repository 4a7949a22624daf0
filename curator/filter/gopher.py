"""Gopher's heuristics for English text (Rae et al. 2021, arXiv:2112.11446, A.1.1 and Table A1).

The paper leaves open what a word and a line are. By default both filters decide as datatrove 0.10 would
with words = text.split(); datatrove itself asks spaCy, which cuts "don't" and "end." in two, so its counts
are somewhat higher. Unlike there, a limit of 0 is a limit: it does not switch its rule off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from curator.errors import SpecError
from curator.stage import Filter, Pass, Rule, Schema, at_least, at_most

# What a rule looks at instead, by field and its value.
VARIANTS = {
    ("words_counted", "all"): {"nonsymbol_words": "words", "mean_word_length": "mean_length_of_words"},
    ("word_length", "median"): {"mean_word_length": "median_length_of_words"},
    ("symbols_counted", "words"): {"hash_ratio": "sign_words", "ellipsis_ratio": "sign_words"},
    ("lines", "newlines"): {"bullet_lines": "star_lines", "ellipsis_lines": "dots_lines"},
    ("stop_words_counted", "all"): {"stop_words": "stop_word_places"},
}


@dataclass(frozen=True)
class GopherQuality(Filter):
    """Drop texts that do not look like prose: too short, too symbolic, all bullets, no stop words.

    The limits are those of A.1.1. What they are limits of is as in datatrove, and can be chosen:

    * the paper: words_counted="all", for it does not say that words of punctuation alone do not count;
    * dolma 1.2 (its tagger gopher_v1): every field that has a choice, its second one.

    A missing text is judged as an empty one.
    """

    min_words: int = 50
    max_words: int = 100_000
    min_mean_word_length: float = 3.0  # characters; or of the median word
    max_mean_word_length: float = 10.0
    max_hash_ratio: float = 0.1  # "#" a word
    max_ellipsis_ratio: float = 0.1  # "..." and "…" a word
    max_bullet_lines: float = 0.9  # fraction of the lines
    max_ellipsis_lines: float = 0.3
    min_alpha_words: float = 0.8  # fraction of the words with a letter
    min_stop_words: int = 2  # of the, be, to, of, and, that, have, with
    words_counted: Literal["nonsymbol", "all"] = "nonsymbol"  # by number and length: those that are not all punctuation
    word_length: Literal["mean", "median"] = "mean"  # the median is that of all words
    symbols_counted: Literal["each", "words"] = "each"  # "#" and ellipses apart; or the words that hold "#" or "…"
    lines: Literal["splitlines", "newlines"] = "splitlines"  # newlines: bullets are "*" and "-" not indented, "..." is none
    stop_words_counted: Literal["different", "all"] = "different"

    reads: ClassVar[Schema] = {"text": "string"}
    shared_pass: ClassVar[Pass | None] = Pass("text_signals")

    def __post_init__(self) -> None:
        if self.word_length == "median" and self.words_counted != "all":
            raise SpecError("GopherQuality: word_length median is that of all words, so words_counted must be all")

    @property
    def rules(self) -> tuple[Rule, ...]:  # type: ignore[override]
        instead: dict[str, str] = {}
        for (field, value), signals in VARIANTS.items():
            instead |= signals if getattr(self, field) == value else {}
        return tuple(replace(rule, signal=instead.get(rule.signal, rule.signal)) for rule in QUALITY_RULES)

    @property
    def signals(self) -> dict[str, str]:  # type: ignore[override]
        return {rule.signal: "int64" if rule.signal in QUALITY_COUNTS else "float64" for rule in self.rules}


QUALITY_COUNTS = ("nonsymbol_words", "words", "stop_words", "stop_word_places")
QUALITY_RULES = (
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
class GopherRepetition(Filter):
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

    reads: ClassVar[Schema] = {"text": "string"}
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
    shared_pass = Pass("text_signals")
