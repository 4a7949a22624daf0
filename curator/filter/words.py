"""Filters whose signals depend on what a word is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from curator.stage import Filter, Pass, Schema

SPACES = Pass("text_signals", ("spaces",))  # of filters that know no other words


@dataclass(frozen=True)
class WordFilter(Filter):
    """Measures the signals of `curator.kernels.signals` by one idea of a word.

    Filters side by side with the same `words` are measured in one pass. "datatrove" needs spaCy, whose rules are read
    once a process, in some seconds. It costs about as much again once the process knows most white-space chunks of
    its texts, and two to three times as much on the first megabytes.
    """

    words: Literal["spaces", "datatrove"] = "spaces"  # text.split(), or datatrove's: tokens of spaCy's blank English

    reads: ClassVar[Schema] = {"text": "string"}

    @property
    def shared_pass(self) -> Pass:  # type: ignore[override]
        """Return the pass: all that shapes it is what a word is."""
        return Pass("text_signals", (self.words,))

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """Return the tokeniser's library, where one is asked."""
        return ("spacy",) if self.words == "datatrove" else ()

    def check(self, output: str) -> None:
        """Raise ModelError where the words need spaCy and it is not installed."""
        if self.words == "datatrove":
            from curator.kernels.spacy_rules import check_spacy

            check_spacy()
