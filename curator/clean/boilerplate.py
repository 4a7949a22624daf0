"""Paragraphs of policies and placeholders are cut out of texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from curator import frames
from curator.clean.by_line import Lines
from curator.edit import Edit, Spans
from curator.kernels.arrow import flatten
from curator.stage import Frame


@dataclass(frozen=True)
class RemoveBoilerplate(Edit):
    """Cut paragraphs that hold one of the `phrases`, at a text's begin and end (`where="edges"`) or anywhere.

    A paragraph is a run of lines with text, with the blank lines after it; at an edge stands a run of paragraphs
    that all hold a phrase. A text that holds one of the `placeholders` is cut whole. Kinds: `policy`,
    `placeholder`.

    NeMo Curator's BoilerPlateStringModifier, with its strings (C4's and those of a cookie notice, here by the
    part that tells them), does the same at the edges, but leaves a text as it is where one more such paragraph
    stands in its middle, or where all are such; here the edges go, and a text of nothing else is dropped.

    Cost: about 400 MB/s a core where there is none.
    """

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

        lines = Lines.of(frame["text"])
        policy = self._hits(lines, self.phrases)
        whole = np.unique(np.searchsorted(lines.offsets, self._hits(lines, self.placeholders), "right") - 1)
        texts = np.unique(np.searchsorted(lines.offsets, policy, "right") - 1)
        texts = texts[~np.isin(texts, whole)]
        some = flatten(frames.column_to_arrow(frame["text"]).take(pa.array(texts)))  # paragraphs of these alone
        first, _, starts, stops = units(*some, True, False, 1)
        begins = np.repeat(lines.offsets[texts], np.diff(first))
        starts, stops = starts + begins, stops + begins
        gone = np.searchsorted(policy, stops) > np.searchsorted(policy, starts)
        if self.where == "edges":
            gone = at_edges(first, gone)
        kinds = ["policy"] * int(gone.sum()) + ["placeholder"] * len(whole)
        return lines.spans(
            np.append(starts[gone], lines.offsets[whole]), np.append(stops[gone], lines.offsets[whole + 1]), kinds=kinds
        )

    def _hits(self, lines: Lines, phrases: tuple[str, ...]) -> np.ndarray:
        """Return where the lines that hold a phrase, in any case, start: bytes of the data, ascending."""
        rows = lines.matching(f"(?i){'|'.join(map(re.escape, phrases))}") if phrases else np.zeros(0, np.int64)
        return lines.whole(rows)[0]


def at_edges(first: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Return `gone` (paragraphs,) without those that have others between them and both ends of their text.

    first: int64 (texts + 1), the paragraphs of each text.
    """
    stays = np.append(0, np.cumsum(~gone))
    text = np.repeat(np.arange(len(first) - 1), np.diff(first))
    before = stays[:-1] == stays[first[:-1]][text]  # none before it stays
    after = stays[:-1] == stays[first[1:]][text]
    edge: np.ndarray = gone & (before | after)
    return edge
