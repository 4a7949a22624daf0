"""RefinedWeb's line-wise corrections (Penedo et al. 2023, arXiv:2306.01116, section 3.2 and appendix G.2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow.compute as pc

from curator import frames
from curator.clean.by_line import Found, Lines
from curator.edit import Edit, Spans
from curator.stage import Frame, Rule, at_most

BLANKS = " \t"
LONGEST = 1000  # bytes of a line that is looked at for navigation: ten words of more are none
SAYS = re.compile(r"[^\W_]")  # a letter or digit


@dataclass(frozen=True)
class RefinedWebLines(Edit):
    """Cut lines of capitals, of digits, counters and lines of one word; cut navigation out of short lines.

    The kinds, in the paper's order, of which the first holds: `upper`, `numeric`, `counter`, `one_word` cut the
    line with its break, `navigation` the phrase with the blanks beside it, or the line where no letter or digit
    would be left. A text of whose words more than `max_words_cut` were cut is dropped.

    The paper names the rules and an example of each, no more. Chosen here: a line is what ends with \\n, a word
    what str.split returns. A line is mostly upper-case by its characters, those of DCLM (Li et al. 2024,
    arXiv:2406.11794), white space at its ends not counted. A numeric line holds digits and white space alone.
    A counter is numbers and nouns in turns ("3 likes", "1.2K views · 5 comments", "Likes: 3"), plural or not,
    and marks between. Phrases are found in any case, by whole words, a hyphen for a space or neither; those of
    the end may be followed by dots and arrows. Words cut are those of the spans; the paper counts the words of
    flagged lines.

    Meant for languages with spaces between words: elsewhere a line is one word. Blank lines stay. Every cut is
    kept with its kind and words. Cost: about 100 MB/s a core on prose, half of that on lines of 40 bytes.
    """

    max_upper: float | None = 0.5  # share of a line's characters; DCLM: 0.5, the paper: "mainly"
    numeric: bool = True
    counters: tuple[str, ...] = (
        "like", "dislike", "share", "comment", "reply", "replies", "view", "follower", "subscriber", "retweet",
        "repost", "tweet", "upvote", "downvote", "vote", "download", "bookmark", "favorite", "reaction", "visit",
    )  # fmt: skip
    min_line_words: int | None = 2  # the paper: lines of one word go
    max_navigation_words: int = 10  # of a line that is looked at for navigation
    begins: tuple[str, ...] = ("sign in", "sign out", "log in", "log out")  # the paper's example: sign-in
    ends: tuple[str, ...] = ("read more", "show more", "continue reading")  # Read more...
    anywhere: tuple[str, ...] = ("items in cart", "item in cart")  # items in cart
    max_words_cut: float | None = 0.05  # share of a text's words
    max_cut: float = 1.0
    min_characters: int = 1

    name: ClassVar[str] = "refinedweb"
    evidence: ClassVar = {"kinds": "list<string>", "words": "list<int64>"}

    def __post_init__(self) -> None:
        for field in ("counters", "begins", "ends", "anywhere"):
            object.__setattr__(self, field, tuple(getattr(self, field)))

    @property
    def signals(self) -> dict[str, str]:  # type: ignore[override]
        return super().signals | {"refinedweb_words_cut_share": "float64"}

    @property
    def rules(self) -> tuple[Rule, ...]:  # type: ignore[override]
        return (*super().rules, at_most("many_words_cut", "refinedweb_words_cut_share", "max_words_cut"))

    def measure(self, frame: Frame) -> Frame:
        from curator.kernels.line_makeup import count

        lines = Lines.of(frame["text"])
        counts = count(lines.bounds, lines.data)
        measured = self.apply(frame, self._spans(lines, counts))
        words = np.append(0, np.cumsum(counts["words"]))[lines.first]
        cut = frames.column_to_arrow(measured["refinedweb_cut_words"])
        gone = np.append(0, np.cumsum(cut.flatten().to_numpy()))[np.append(0, np.cumsum(pc.list_value_length(cut)))]
        share = np.diff(gone) / np.maximum(np.diff(words), 1)
        return measured.assign(refinedweb_words_cut_share=frames.like(frame["text"], {"share": share})["share"])

    def _spans(self, lines: Lines, counts: np.ndarray) -> Spans:
        kinds = self._kinds(lines, counts)
        cut = np.flatnonzero(kinds != "")
        few = (counts["words"] > 0) & (counts["words"] <= self.max_navigation_words)
        short = np.flatnonzero((kinds == "") & few & (np.diff(lines.bounds) <= LONGEST))
        starts, stops, words = lines.search(*self._navigation(lines, short))
        whole = lines.whole(cut)
        return lines.spans(
            np.append(whole[0], starts),
            np.append(whole[1], stops),
            kinds=np.append(kinds[cut], np.full(len(starts), "navigation")),
            words=np.append(counts["words"][cut], np.array(words, np.int64)),
        )

    def _kinds(self, lines: Lines, counts: np.ndarray) -> np.ndarray:
        """Return why each line goes, "" where it does not (lines,)."""
        kinds = np.full(len(counts), "", "U10")
        if self.min_line_words is not None:
            kinds[(counts["words"] > 0) & (counts["words"] < self.min_line_words)] = "one_word"
        if self.counters:
            # a counter is a number and a noun at least, and few of them
            few = np.flatnonzero((counts["digits"] > 0) & (counts["words"] <= self.max_navigation_words))
            kinds[lines.matching(counter(self.counters), few)] = "counter"
        if self.numeric:
            kinds[(counts["digits"] > 0) & (counts["digits"] == counts["visible"])] = "numeric"
        if self.max_upper is not None:
            kinds[counts["upper"] / np.maximum(counts["characters"], 1) > self.max_upper] = "upper"
        return kinds

    def _navigation(self, lines: Lines, short: np.ndarray) -> tuple[np.ndarray, Callable[[str], list[Found]]]:
        """Return the short lines that hold a phrase, and what finds it there."""
        phrases = (*self.begins, *self.ends, *self.anywhere)
        rows = lines.matching(f"(?i){any_of(phrases)}", short) if phrases else short[:0]
        return rows, navigation_of(self.begins, self.ends, self.anywhere)


def any_of(phrases: tuple[str, ...]) -> str:
    """Return a pattern for any of the phrases, the longest first; in them a hyphen, a space and nothing are one."""
    ordered = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    return "(?:" + "|".join("[- ]?".join(map(re.escape, re.split("[- ]", phrase))) for phrase in ordered) + ")"


def counter(nouns: tuple[str, ...]) -> str:
    """Return an RE2 pattern for a line that is a counter of the nouns."""
    number, noun, mark = r"[0-9](?:[0-9.,]*[0-9])?\s?[kmb]?\+?", f"{any_of(nouns)}s?", r"[^\pL\pN]*"
    return f"(?i)^{mark}(?:(?:{number}\\s*{noun}|{noun}\\s*[:(]\\s*{number}){mark})+$"


def navigation_of(
    begins: tuple[str, ...], ends: tuple[str, ...], anywhere: tuple[str, ...]
) -> Callable[[str], list[Found]]:
    """Return a function that finds the phrases of a line: spans in characters, and the number of words in each."""
    edge = r"(?<!\w){}(?!\w)"
    at_begin, inside, at_end = (
        re.compile(edge.format(any_of(phrases)) + after, re.I) if phrases else None
        for phrases, after in ((begins, f"[{BLANKS}]*"), (anywhere, ""), (ends, f"[{BLANKS}.…»›>→]*(?=\\s*\\Z)"))
    )

    def find(line: str) -> list[Found]:
        found: list[tuple[int, int]] = []
        lead = len(line) - len(line.lstrip())
        if at_begin and (match := at_begin.match(line, lead)):
            found.append((lead, match.end()))
        for pattern in (inside, at_end):
            for match in pattern.finditer(line) if pattern else ():
                found.append((len(line[: match.start()].rstrip(BLANKS)), match.end()))
        apart: list[tuple[int, int]] = []
        for start, stop in sorted(found):
            if not apart or start >= apart[-1][1]:
                apart.append((start, stop))
        bounds = [0, *(bound for span in apart for bound in span), len(line)]
        left = (line[a:b] for a, b in zip(bounds[::2], bounds[1::2]))
        if apart and not any(map(SAYS.search, left)):
            return [(0, len(line), len(line.split()))]
        return [(start, stop, len(line[start:stop].split())) for start, stop in apart]

    return find
