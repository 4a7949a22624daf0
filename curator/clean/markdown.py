"""Markdown's marks are cut out of texts; what they mark stays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curator.clean.by_line import Found, Lines
from curator.edit import Edit, Spans
from curator.stage import Frame

TARGET = r"\((?:<[^<>\n]*>|[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:[ \t]+(?:\"[^\"\n]*\"|'[^'\n]*'))?[ \t]*\)"
MARKS = re.compile(rf"\\[^`\n]|`+|!?\[|\](?:{TARGET})?|\*+|_+")
# A line without a heading, the middle of a link, or marks that could begin and end emphasis has no marks to cut.
HINT = r"\]\(|^ {0,3}#|(?:^|[^\pL\pN])[*_]+[^\s](?:.*[^\s])?[*_]+(?:[^\pL\pN]|$)"
LONGEST = 1 << 20  # bytes of a line that is looked at: none of Markdown is longer
HEADING = re.compile(r" {0,3}#{1,6}[ \t]+")
OPENS_BEFORE = "\"'“‘([{<$&~`!*_"  # beside letters and digits, what emphasis may begin with
CLOSES_AFTER = "\"'”’)]}>.,;:!?…%`*_"  # and end with


@dataclass(frozen=True)
class RemoveMarkdown(Edit):
    """Cut the marks of headings, emphasis, links and images; keep their text, and all code as it is.

    Marks are found in one line each: # of a heading at its ends; *, **, ***, _, __ and ___ in pairs at the edges
    of words, so that a * b, snake_case and __name__ stay; of [text](target "title") and ![text](target) all but
    the text. Fenced code, `code` and what a backslash escapes are left alone, as are lists, quotes, tables,
    reference links, HTML and lines of more than 1 MiB. Kinds: `heading`, `emphasis`, `link`, `image`.

    The rules are those of CommonMark 0.31, made stricter for emphasis, which there may be part of a word, and
    without its cutting of a run of marks in two (*a **b***). NeMo Curator's MarkdownRemover keeps the target of
    a link instead of its text.

    Cost: about 70 MB/s a core where few lines hold marks; these go through Python's re.
    """

    headings: bool = True
    emphasis: bool = True
    links: bool = True
    max_cut: float = 1.0
    min_characters: int = 1

    name: ClassVar[str] = "markdown"

    def spans(self, frame: Frame) -> Spans:
        lines = Lines.of(frame["text"], HINT)
        rows = lines.matching(HINT)
        if len(rows):
            rows = rows[~fenced(lines)[rows] & (np.diff(lines.bounds)[rows] <= LONGEST)]
        starts, stops, kinds = lines.search(rows, self._marks)
        return lines.spans(starts, stops, kinds=kinds)

    def _marks(self, line: str) -> list[Found]:
        wanted = {"heading": self.headings, "emphasis": self.emphasis, "link": self.links, "image": self.links}
        found = sorted([*heading(line), *inline(line)], key=lambda span: span[0])
        return [span for span in found if wanted[span[2]]]


def fenced(lines: Lines) -> np.ndarray:
    """Return bool (lines,): those of fenced code, the fences among them. An open fence runs to the text's end."""
    code = np.zeros(len(lines.bounds) - 1, bool)
    rows = lines.matching(r"^ {0,3}(?:```|~~~)")
    ends = lines.first[np.searchsorted(lines.first, rows, "right")]  # of the text of each
    fence, begin, stop = "", 0, 0
    for row, end, line in zip(rows.tolist(), ends.tolist(), lines.strings(rows).to_pylist()):
        if fence and row >= stop:
            code[begin:stop] = True
            fence = ""
        mark = line.strip()
        if not fence:
            fence, begin, stop = mark[: len(mark) - len(mark.lstrip(mark[0]))], row, end
        elif mark.startswith(fence) and not mark.strip(fence[0]):
            code[begin : row + 1] = True
            fence = ""
    if fence:
        code[begin:stop] = True
    return code


def heading(line: str) -> Iterator[Found]:
    """Yield the # at the begin of a heading, and those at its end, with the blanks inside them."""
    match = HEADING.match(line)
    if not match:
        return
    yield *match.span(), "heading"
    whole = line.rstrip(" \t\r\n")
    text = whole.rstrip("#")
    if text != whole and text[-1:] in (" ", "\t") and len(text) > match.end():
        yield len(text.rstrip(" \t")), len(whole), "heading"


def inline(line: str) -> Iterator[Found]:
    """Yield the marks of emphasis, links and images in a line, each pair at its end."""
    brackets: list[re.Match[str]] = []
    emphasis = _Emphasis(line)
    for token in outside_code(list(MARKS.finditer(line))):
        mark = token.group()
        if mark[-1] == "[":
            brackets.append(token)
        elif mark[0] == "]":
            opener = brackets.pop() if brackets else None
            if opener and len(mark) > 1:
                kind = "image" if opener.group()[0] == "!" else "link"
                yield *opener.span(), kind
                yield *token.span(), kind
        else:
            for half in emphasis.meet(token):
                yield *half.span(), "emphasis"


def outside_code(tokens: list[re.Match[str]]) -> Iterator[re.Match[str]]:
    """Yield the tokens that are no code, backticks or escape: code stands between backticks, as many at each end."""
    closing: dict[int, int] = {}  # start of backticks -> end of the next as many
    later: dict[int, int] = {}
    for token in reversed(tokens):
        if token.group()[0] == "`":
            size = len(token.group())
            closing[token.start()] = later.get(size, 0)
            later[size] = token.end()
    free = 0
    for token in tokens:
        if token.start() < free:
            continue
        if token.group()[0] == "`":
            free = closing[token.start()]
        elif token.group()[0] != "\\":
            yield token


class _Emphasis:
    """Pairs marks of emphasis: an end takes the last begin of the same mark, and what began after it is none."""

    def __init__(self, line: str):
        self.line = line
        self.open: list[re.Match[str]] = []
        self.counts: Counter[str] = Counter()

    def meet(self, token: re.Match[str]) -> tuple[re.Match[str], ...]:
        """Return the two halves of the emphasis that the token ends, if any."""
        mark = token.group()
        before, after = self.line[token.start() - 1 : token.start()], self.line[token.end() : token.end() + 1]
        begins = not before.isalnum() and after != "" and (after.isalnum() or after in OPENS_BEFORE)
        ends = not after.isalnum() and before != "" and (before.isalnum() or before in CLOSES_AFTER)
        if len(mark) > 3:
            return ()
        if ends and self.counts[mark]:
            half = self._take(mark)
            return () if mark == "__" and self._is_name(half.end(), token.start()) else (half, token)
        if begins:
            self.open.append(token)
            self.counts[mark] += 1
        return ()

    def _take(self, mark: str) -> re.Match[str]:
        while True:
            last = self.open.pop()
            self.counts[last.group()] -= 1
            if last.group() == mark:
                return last

    def _is_name(self, start: int, stop: int) -> bool:
        """Tell whether this is Python's __name__ rather than emphasis."""
        return stop - start < 80 and self.line[start:stop].isidentifier()
