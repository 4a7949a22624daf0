"""URLs and citations are cut out of texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from curator.clean.by_line import Found, Lines
from curator.edit import Edit, Spans
from curator.stage import Frame

URL = re.compile(r"(?<!(?-i:[A-Za-z0-9]))(?:(?:https?|ftp)://|www\.)[^\s<>\"]+", re.I)
AFTER = ".,;:!?…'’”»)]}*_"  # may follow an address, and seldom end one


@dataclass(frozen=True)
class RemoveUrls(Edit):
    """Cut web addresses: what starts with http://, https://, ftp:// or www., up to white space, <, > or a quote.

    Punctuation at its end stays in the text, so that a sentence keeps its full stop; so does a closing bracket
    that no bracket in the address opens. The blanks before an address go with it. NeMo Curator's UrlRemover
    cuts up to white space, and leaves the blanks.

    Cost: about 250 MB/s a core where few lines hold one; these go through Python's re.
    """

    max_cut: float = 1.0
    min_characters: int = 1

    name: ClassVar[str] = "urls"

    def spans(self, frame: Frame) -> Spans:
        hint = r"(?i)://|www\."
        lines = Lines.of(frame["text"], hint)
        starts, stops, kinds = lines.search(lines.matching(hint), urls)
        return lines.spans(starts, stops, kinds=kinds)


def urls(line: str) -> Iterator[Found]:
    """Yield the addresses of a line with the blanks before them, in characters."""
    free = 0
    for match in URL.finditer(line):
        stop = match.start() + len(address(match.group()))
        start = max(free, before_blanks(line, match.start()))
        yield start, stop, "url"
        free = stop


def address(found: str) -> str:
    """Return an address without the punctuation after it."""
    stop = len(found)
    opened = {")": found.count("(") - found.count(")"), "]": found.count("[") - found.count("]")}
    while found[stop - 1] in AFTER:
        last = found[stop - 1]
        if opened.get(last, -1) >= 0:  # it closes a bracket of the address
            break
        if last in opened:
            opened[last] += 1
        stop -= 1
    return found[:stop]


def before_blanks(line: str, at: int) -> int:
    """Return where the blanks before line[at] start."""
    while at and line[at - 1] in " \t":
        at -= 1
    return at


@dataclass(frozen=True)
class RemoveCitations(Edit):
    """Cut citations in brackets, as wikis have them: [3], [3, 7], [3-7], [], and the `phrases`.

    The empty brackets and the phrases are those of C4 (Raffel et al. 2020, section 2.2; its code has one number
    in brackets). Kinds: `number`, `phrase`. An index in code looks the same: keep this away from code.

    Cost: about 450 MB/s a core where few lines hold one; these go through Python's re.
    """

    phrases: tuple[str, ...] = ("edit", "citation needed")  # in brackets, in any case
    max_cut: float = 1.0
    min_characters: int = 1

    name: ClassVar[str] = "citations"

    def __post_init__(self) -> None:
        object.__setattr__(self, "phrases", tuple(self.phrases))

    def spans(self, frame: Frame) -> Spans:
        numbers = r"(?:[0-9]+(?:(?:, ?|[-–])[0-9]+)*)?"
        cited = rf"(?i)\[(?:{'|'.join([numbers, *map(re.escape, self.phrases)])})\]"
        pattern = re.compile(cited)

        def find(line: str) -> Iterator[Found]:
            for match in pattern.finditer(line):
                yield *match.span(), "phrase" if match.group()[1:2].isalpha() else "number"

        lines = Lines.of(frame["text"], cited)
        starts, stops, kinds = lines.search(lines.matching(cited), find)
        return lines.spans(starts, stops, kinds=kinds)
