"""Gopher's quality rules for many languages, with stop words and limits by language.

The rules are those of Rae et al. 2021 (arXiv:2112.11446, A.1.1) for English. Stop words and limits of the others
follow FineWeb-2 (Penedo et al. 2025, arXiv:2506.20920): the stop words are a language's most frequent words, the
limits are English ones carried over by how the signal is distributed. They stand in languages.yaml, which
`python -m benchmarks.language_rules` makes; it says from what.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from curator import frames, kernels
from curator.errors import SpecError
from curator.stage import Column, Filter, Frame, Rule, Schema, at_least, at_most
from millrace import storage, tables
from millrace.config import build
from millrace.errors import ConfigError

TABLE = "languages.yaml"
MEASURED = {  # signal here: the same of curator.kernels.signals, of words apart
    f"language_{name}": name
    for name in (
        "nonsymbol_words",
        "mean_word_length",
        "hash_ratio",
        "ellipsis_ratio",
        "bullet_lines",
        "ellipsis_lines",
        "alpha_words",
    )
}
MOST_WORDS = 64  # stop words of a language: a bit each in the kernel
UNKNOWN = "default"  # name of the rules for languages that the table lacks


@dataclass(frozen=True)
class LanguageRules:
    """What the table says of one language. None: the rule is off."""

    stop_words: tuple[str, ...] = ()
    stop_words_inside: bool = False  # searched anywhere in the text, as words are not apart
    words_for_english: float = 1.0  # units that say what a word of English does: min_words is multiplied by it
    min_mean_word_length: float | None = None  # characters
    max_mean_word_length: float | None = None
    min_alpha_words: float | None = None  # fraction of the words


@dataclass(frozen=True)
class LanguageQuality(Filter):
    """Drop texts that do not look like prose in their language: `lang`, as IdentifyLanguage names it.

    Words are parts between white space; of Chinese, Japanese, Thai, Lao, Khmer and Burmese each letter is one,
    whatever `lang` says. Each text is judged by the limits and stop words of its language, whose row of the table
    is kept in the signal `language_rules`. A language that the table lacks, and a missing one, has the row
    `default`, where only what does not depend on language is judged, or is dropped (`unknown`). A missing text is
    judged as an empty one. Raises SpecError for a table that cannot be read.
    Cost: about 36 MB/s a core on English, 22 on Chinese (2025 server core, other work beside).
    """

    min_words: int = 50  # English ones; in other languages see `words_for_english`
    max_words: int = 100_000
    max_hash_ratio: float = 0.1  # "#" a word
    max_ellipsis_ratio: float = 0.1  # "..." and "…" a word
    max_bullet_lines: float = 0.9  # fraction of the lines
    max_ellipsis_lines: float = 0.3
    min_stop_words: int = 2  # different ones; judged where the table lists any
    unknown: Literal["default", "drop"] = "default"
    table: str = ""  # YAML, a mapping of languages to LanguageRules; empty: ours

    reads: ClassVar[Schema] = {"text": "string", "lang": "string"}
    decides: ClassVar[tuple[str, ...]] = ("unknown",)
    signals: ClassVar[Schema] = {
        "language_rules": "string",
        "language_nonsymbol_words": "int64",
        "language_words_in_english": "float64",
        "language_mean_word_length": "float64",
        "language_hash_ratio": "float64",
        "language_ellipsis_ratio": "float64",
        "language_bullet_lines": "float64",
        "language_ellipsis_lines": "float64",
        "language_alpha_words": "float64",
        "language_stop_words": "int64",
    }
    rules: ClassVar[tuple[Rule, ...]] = (
        at_least("few_words", "language_words_in_english", "min_words"),
        at_most("many_words", "language_words_in_english", "max_words"),
        at_most("hashes", "language_hash_ratio", "max_hash_ratio"),
        at_most("ellipses", "language_ellipsis_ratio", "max_ellipsis_ratio"),
        at_most("bullet_lines", "language_bullet_lines", "max_bullet_lines"),
        at_most("ellipsis_lines", "language_ellipsis_lines", "max_ellipsis_lines"),
        at_least("few_stop_words", "language_stop_words", "min_stop_words"),
    )
    files: ClassVar[tuple[str, ...]] = ("table",)
    by_language: ClassVar[tuple[Rule, ...]] = (  # `limit` is a field of LanguageRules
        at_least("short_words", "language_mean_word_length", "min_mean_word_length"),
        at_most("long_words", "language_mean_word_length", "max_mean_word_length"),
        at_least("few_alpha_words", "language_alpha_words", "min_alpha_words"),
    )

    def named_files(self) -> dict[str, tuple[str, ...]]:
        """Return the table: ours shapes the output as one of the user's does."""
        return {"table": (place_of(self.table),)}

    def check(self, output: str) -> None:
        """Raise SpecError for a table that cannot be read."""
        table(self.table)

    def measure(self, frame: Frame) -> Frame:
        """Return the signals, those of its own rules for each text."""
        known = table(self.table)
        names, rules = list(known), list(known.values())
        which = _rows(frame["lang"], names)
        measured = kernels.text_signals(frame["text"], tuple(MEASURED.values()), "letters")
        signals: dict[str, Any] = {name: frames.to_numpy(measured[source]) for name, source in MEASURED.items()}
        lists, inside = tuple(r.stop_words for r in rules), tuple(r.stop_words_inside for r in rules)
        found = kernels.listed_words(frame["text"], which, lists, inside)["listed_words"]
        unlisted = np.array([not words for words in lists])[which]
        signals["language_stop_words"] = pa.array(frames.to_numpy(found), pa.int64(), mask=unlisted)
        factors = np.array([r.words_for_english for r in rules])
        signals["language_words_in_english"] = signals["language_nonsymbol_words"] / factors[which]
        signals["language_rules"] = pa.array(names, pa.large_string()).take(pa.array(which))
        return frames.like(frame["text"], {name: signals[name] for name in self.signals})

    def reject(self, signals: Frame) -> dict[str, Column]:
        """Reject unknown languages, if told so, then by the fields, then by the limits of each text's language."""
        unknown = {"unknown_language": signals["language_rules"] == UNKNOWN} if self.unknown == "drop" else {}
        limits = self._limits(signals)
        own = {
            rule.reason: signals[rule.signal] < limits[rule.limit]
            if rule.below
            else signals[rule.signal] > limits[rule.limit]
            for rule in self.by_language
        }
        return {**unknown, **super().reject(signals), **own}

    def explain(self, signals: Frame, reason: str) -> dict[str, Any]:
        """Name the language's rules, and the limit that they or the fields set."""
        evidence: dict[str, Any] = {"value_text": signals["language_rules"]}
        for rule in self.by_language:
            if rule.reason == reason:
                return evidence | {"value": signals[rule.signal], "threshold": self._limits(signals)[rule.limit]}
        return evidence | super().explain(signals, reason)

    def _limits(self, signals: Frame) -> Frame:
        """Return the limits of each text's language, null where there is none."""
        known = table(self.table)
        names = frames.column_to_arrow(signals["language_rules"]).dictionary_encode()
        limits = {
            rule.limit: pa.array(
                [getattr(known[name], rule.limit) for name in names.dictionary.to_pylist()], pa.float64()
            ).take(names.indices)
            for rule in self.by_language
        }
        return frames.like(signals["language_rules"], limits)


def _rows(lang: Column, names: list[str]) -> np.ndarray:
    """Return, as int64, the number of each language among `names`; of one not there, that of `default`."""
    encoded = frames.column_to_arrow(lang).dictionary_encode()
    numbers = {name: number for number, name in enumerate(names)}
    found = [numbers.get(name, numbers[UNKNOWN]) for name in encoded.dictionary.to_pylist()]
    rows = np.array([*found, numbers[UNKNOWN]], np.int64)
    chosen: np.ndarray = rows[pc.fill_null(encoded.indices, len(found)).to_numpy(zero_copy_only=False)]
    return chosen


def place_of(path: str) -> str:
    """Return the URL of a table, of ours if `path` is empty."""
    return storage.absolute(path) if path else str(Path(__file__).with_name(TABLE))


def table(path: str) -> dict[str, LanguageRules]:
    """Return the rules by language of a YAML file, ours if `path` is empty; read once a process and content of the
    file. Raises SpecError."""
    return _table(path, str(tables.checksum(place_of(path))["xxh3"]))


@functools.lru_cache(maxsize=8)
def _table(path: str, checksum: str) -> dict[str, LanguageRules]:
    place = path or TABLE
    try:
        said = yaml.safe_load(storage.read_bytes(place_of(path)))
        rules = {str(name): build(LanguageRules, values or {}) for name, values in said.items()}
    except (yaml.YAMLError, ConfigError, AttributeError, TypeError) as error:
        raise SpecError(f"{place} is no table of languages: {' '.join(str(error).split())}") from None
    if UNKNOWN not in rules:
        raise SpecError(f"{place} has no row {UNKNOWN!r}, for languages that it lacks")
    for name, row in rules.items():
        if len(row.stop_words) > MOST_WORDS or row.words_for_english <= 0:
            raise SpecError(f"{place}, {name}: at most {MOST_WORDS} stop words, and words_for_english above 0")
    return rules
