r"""Patterns that are not to pass, searched in time linear in the text: RE2 (Cox 2007), as Arrow has it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from serve.errors import ServeSettingsError
from serve.rails.rail import Action, Message, Side, Verdict

MOST_STATES = 500  # of a pattern, its repeats written out: what bounds the time of a search
PROPERTY = re.compile(r"\\[pP](?:\{\^?\w+\}|\w)")  # RE2's classes of Unicode, which Python's parser does not know
ASCII_ONLY = re.compile(r"(?<!\\)(?:\\\\)*\\([bBwW])")


@dataclass(frozen=True)
class Regex:
    r"""Find matches of regular expressions, in RE2's syntax.

    RE2 has no look-around and no back references. Its \w, \d, \s and \b are of ASCII: a pattern that has \w or \b
    beside other letters is refused, since it would find nothing; \p{L} is a letter of any script. (?i) folds case,
    (?s) lets `.` match line ends. The text is searched as it is, nothing folded: zero-width characters and
    look-alikes hide from a pattern. One that matches the empty text is refused.

    Cost: time in proportion to the text and, at worst, to the pattern's states, of which there are at most 500; an
    ordinary pattern takes 0.1 ms a text of 2,000 characters (benchmarks/results/rails_cost.md).
    """

    kind: ClassVar[str] = "regex"
    actions: ClassVar[tuple[Action, ...]] = ("refuse", "redact", "flag")

    patterns: tuple[str, ...]
    replacement: str = "[removed]"  # as it stands: a backslash refers to no group

    def __post_init__(self) -> None:
        if not self.patterns:
            raise ServeSettingsError("regex.patterns is empty; there would be nothing to find")
        for number, pattern in enumerate(self.patterns):
            _check(f"regex.patterns[{number}]", pattern)

    def prepare(self) -> None:
        """Do nothing: patterns are checked as they are given."""

    def check(self, text: str, side: Side, before: Sequence[Message]) -> Verdict:
        """Find the matches in a text; each pattern sees what those before it have left."""
        searched = pa.array([text], pa.large_string())
        replacement = self.replacement.replace("\\", r"\\")
        matched, found = [], 0
        for number, pattern in enumerate(self.patterns):
            count = pc.count_substring_regex(searched, pattern)[0].as_py()
            if count:
                found += count
                matched.append(str(number))
                searched = pc.replace_substring_regex(searched, pattern, replacement)
        if not found:
            return Verdict(True, text)
        return Verdict(False, searched[0].as_py(), f"{found} matches of patterns {', '.join(matched)}", found)


def _check(place: str, pattern: str) -> None:
    try:
        empty = pc.match_substring_regex(pa.array([""]), pattern)[0].as_py()
    except pa.ArrowInvalid as error:
        said = str(error).removeprefix("Invalid regular expression: ")
        raise ServeSettingsError(f"{place} is no regular expression of RE2: {said}") from None
    if empty:
        raise ServeSettingsError(f"{place} matches the empty text, and so every text")
    if not pattern.isascii() and (found := ASCII_ONLY.search(pattern)):
        raise ServeSettingsError(
            rf"{place}: \{found[1]} knows ASCII letters alone, and the pattern has others; "
            rf"take \p{{L}} for a letter, or the rail words for whole words"
        )
    count = _states(place, pattern)
    if count > MOST_STATES:
        raise ServeSettingsError(f"{place} has {count} states, its repeats written out; at most {MOST_STATES}")


def _states(place: str, pattern: str) -> int:
    """Return how large a pattern is, by Python's parser, which knows nearly all that RE2 does."""
    from re import _parser  # type: ignore[attr-defined]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # [[:alpha:]]
            return _size(_parser.parse(PROPERTY.sub("x", pattern)))
    except (re.error, RecursionError, OverflowError) as error:
        raise ServeSettingsError(f"{place} has a part whose size is not known: {error}") from None


def _size(tree: Any) -> int:
    total = 0
    for operation, given in tree:
        match str(operation):
            case "SUBPATTERN":
                total += _size(given[3]) + 1
            case "BRANCH":
                total += sum(_size(way) + 1 for way in given[1])
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inner = given
                times = least + 1 if str(most) == "MAXREPEAT" else most
                total += times * (_size(inner) + 1)
            case _:
                total += 1
    return total
