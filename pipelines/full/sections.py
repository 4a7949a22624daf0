"""Headings and what stands under them, in text that keeps the signs of Sphinx's permalinks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SIGN = "\u00b6"  # ends a heading's line: the anchor that Sphinx puts beside it
CODE = re.compile(r"[(=\[\]]|^(- )?(class|exception|method|attribute|function|object|event|sqlalchemy\.)")
SENTENCE_END = re.compile(r"[.:!?](?=\s|$)")
MIN_CHARACTERS, MAX_CHARACTERS = 80, 240  # of an answer; ours: what a heading is about is said in the first sentences
MIN_WORDS = 12  # of letters; fewer are lists of links and numbers


@dataclass(frozen=True)
class Section:
    """A heading of a document with the begin of what stands under it."""

    question: str
    answer: str  # whole sentences


def sections(text: str) -> Iterator[Section]:
    """Yield a document's sections in their order: headings in words, not signatures, with at least a sentence."""
    title = ""
    for heading, body in _pieces(text):
        if CODE.search(heading):
            continue
        title = title or heading
        if answer := begin(body):
            yield Section(heading if heading == title else f"{title}: {heading}", answer)


def begin(body: str) -> str:
    """Return a text's first sentences, whole, up to MAX_CHARACTERS; "" where they are too short, or a table."""
    if body.lstrip().startswith("|"):
        return ""
    ends = [one.end() for one in SENTENCE_END.finditer(body[:MAX_CHARACTERS])]
    found = body[: ends[-1]].strip() if ends else ""
    words = re.findall(r"[A-Za-z]{2,}", found)
    return found if len(found) >= MIN_CHARACTERS and len(words) >= MIN_WORDS else ""


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield (heading, text up to the next heading or signature)."""
    heading, lines = "", list[str]()
    for line in text.split("\n"):
        if line.rstrip().endswith(SIGN):
            if heading:
                yield heading, "\n".join(lines)
            heading, lines = line.strip().rstrip(SIGN).strip(), []
        else:
            lines.append(line)
    if heading:
        yield heading, "\n".join(lines)
