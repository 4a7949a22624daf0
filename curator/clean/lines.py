"""Lines of a text that say nothing new: repeated ones, and blank ones beyond a few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from curator import frames
from curator.clean.by_line import Lines
from curator.edit import Edit, Spans
from curator.errors import SpecError
from curator.kernels.arrow import flatten
from curator.stage import Frame


@dataclass(frozen=True)
class RemoveRepeatedLines(Edit):
    """Cut the lines, or paragraphs, that stand earlier in the same text.

    What is equal, a line and a paragraph, and which are too short to count, is as in LineDedup and
    ParagraphDedup, whose kernels do it; those look at the whole corpus, this at one text, and so needs no pass
    of its own. Kept for each cut is the byte where the line stands first (`repeats_firsts`).

    Cost: about 300 MB/s a core; 16 bytes a line of scratch.
    """

    unit: Literal["line", "paragraph"] = "line"
    min_unit_characters: int = 20  # white space not counted; LineDedup's: shorter ones are shared by chance
    normalise: Literal["space", "words"] = "space"
    max_cut: float = 1.0
    min_characters: int = 1

    name: ClassVar[str] = "repeats"
    evidence: ClassVar = {"firsts": "list<int64>"}

    def __post_init__(self) -> None:
        if self.min_unit_characters < 1:
            raise SpecError(
                f"RemoveRepeatedLines.min_unit_characters is {self.min_unit_characters}; it must be at least 1"
            )

    def spans(self, frame: Frame) -> Spans:
        from curator.kernels.lines import firsts, units

        text = flatten(frames.column_to_arrow(frame["text"]))
        first, hashes, starts, stops = units(
            *text, self.unit == "paragraph", self.normalise == "words", self.min_unit_characters
        )
        earlier = firsts(first, hashes)
        cut = np.flatnonzero(earlier != np.arange(len(earlier)))
        evidence = {"firsts": starts[earlier[cut]].astype(np.int64)}
        return Spans(np.searchsorted(cut, first), starts[cut].astype(np.int64), stops[cut].astype(np.int64), evidence)


@dataclass(frozen=True)
class RemoveBlankLines(Edit):
    """Cut blank lines beyond `max_blank_lines` in a row; a line of white space alone is blank.

    With 1, three line feeds in a row become two, as NeMo Curator's NewlineNormalizer makes them; it knows no
    white space between them. Cost: about 170 MB/s a core.
    """

    max_blank_lines: int = 1
    max_cut: float = 1.0
    min_characters: int = 1

    name: ClassVar[str] = "blank_lines"
    evidence: ClassVar = {}

    def __post_init__(self) -> None:
        if self.max_blank_lines < 0:
            raise SpecError(f"RemoveBlankLines.max_blank_lines is {self.max_blank_lines}; it must be at least 0")

    def spans(self, frame: Frame) -> Spans:
        from curator.kernels.line_makeup import count

        lines = Lines.of(frame["text"])
        blank = count(lines.bounds, lines.data)["words"] == 0
        places = np.arange(len(blank))
        begins = np.zeros(len(blank), bool)
        begins[lines.first[:-1][np.diff(lines.first) > 0]] = True
        last = np.maximum.accumulate(np.where(~blank, places, np.where(begins, places - 1, -1)))  # line before the run
        return lines.spans(*lines.whole(np.flatnonzero(blank & (places - last > self.max_blank_lines))))
