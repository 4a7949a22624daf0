"""Paragraphs of policies and placeholders are cut out of texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from curator.clean.by_line import Lines
from curator.edit import Edit, Spans
from curator.stage import Frame

NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class RemoveBoilerplate(Edit):
    """Cut paragraphs that hold one of the `phrases`, at a text's begin and end (`where="edges"`) or anywhere.

    A paragraph is a run of lines with text, with the blank lines after it; take `unit="line"` where an extractor
    writes a paragraph a line. At an edge stands a run of them that all hold a phrase. A text of nothing else is
    left alone: who writes about cookies is no cookie notice. A text that holds one of the `placeholders` is cut
    whole. Kinds: `policy`, `placeholder`.

    NeMo Curator's BoilerPlateStringModifier, with its strings (C4's and those of a cookie notice, here by the
    part that tells them), does the same, but leaves the edges too where one more stands in the middle.

    Cost: about 300 MB/s a core where few texts hold one.
    """

    unit: Literal["paragraph", "line"] = "paragraph"
    where: Literal["edges", "anywhere"] = "edges"
    phrases: tuple[str, ...] = (
        "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies",  # C4
        "privacy overview", "privacy & cookies policy", "privacy and cookies policy",  # NeMo's, from here on
        "necessary cookies are absolutely essential", "cookies that may not be particularly necessary",
        "continue to browse this site without changing your cookie settings",
    )  # fmt: skip
    placeholders: tuple[str, ...] = ("lorem ipsum",)
    max_cut: float = 1.0
    min_characters: int = 1

    name: ClassVar[str] = "boilerplate"

    def __post_init__(self) -> None:
        for field in ("phrases", "placeholders"):
            object.__setattr__(self, field, tuple(getattr(self, field)))

    def spans(self, frame: Frame) -> Spans:
        from curator.kernels.lines import units

        if not self.phrases + self.placeholders:
            return Lines.of(frame["text"]).spans(NONE, NONE, kinds=pa.array([], pa.large_string()))
        lines = Lines.of(frame["text"], any_of(self.phrases + self.placeholders))
        whole = np.unique(np.searchsorted(lines.offsets, self._hits(lines, self.placeholders), "right") - 1)
        first, _, starts, stops = units(lines.offsets, lines.data, self.unit == "paragraph", False, 1)
        begins = np.repeat(lines.offsets[:-1], np.diff(first))
        starts, stops = starts + begins, stops + begins
        policy = self._hits(lines, self.phrases)
        gone = np.searchsorted(policy, stops) > np.searchsorted(policy, starts)
        text = np.repeat(np.arange(len(first) - 1), np.diff(first))
        gone = taken(first, text, gone, self.where == "edges") & ~np.isin(text, whole)
        kinds = ["policy"] * int(gone.sum()) + ["placeholder"] * len(whole)
        return lines.spans(
            np.append(starts[gone], lines.offsets[whole]), np.append(stops[gone], lines.offsets[whole + 1]), kinds=kinds
        )

    def _hits(self, lines: Lines, phrases: tuple[str, ...]) -> np.ndarray:
        """Return where the lines that hold a phrase start: bytes of the data, ascending."""
        return lines.whole(lines.matching(any_of(phrases)))[0] if phrases else NONE


def any_of(phrases: tuple[str, ...]) -> str:
    """Return an RE2 pattern for any of the phrases, in any case."""
    return f"(?i){'|'.join(map(re.escape, phrases))}"


def taken(first: np.ndarray, text: np.ndarray, gone: np.ndarray, edges: bool) -> np.ndarray:
    """Return `gone` (paragraphs,) where their text has others, and with `edges` none of these on one side of them.

    first: int64 (texts + 1), the paragraphs of each text; text: int64 (paragraphs,), the text of each.
    """
    stays = np.append(0, np.cumsum(~gone))
    before, after = stays[:-1] - stays[first[:-1]][text], stays[first[1:]][text] - stays[:-1]
    some: np.ndarray = gone & (before + after > 0) & (~np.bool_(edges) | (before == 0) | (after == 0))
    return some
