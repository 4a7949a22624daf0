"""The heuristics that FineWeb adds to Gopher's and C4's (Penedo et al. 2024, arXiv:2406.17557, section 3.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from curator.stage import Filter, Pass, Rule, Schema, at_least, at_most


@dataclass(frozen=True)
class FineWebQuality(Filter):
    """Drop texts that read like lists: lines without an end mark, short or duplicate lines, many newlines.

    Lines are the parts between newlines, but for those of white space alone. Decides as datatrove 0.10 would
    with words = text.split(), whose limits these are; the paper's limit of characters in duplicate lines is
    0.1. A text without a line, a missing one too, is dropped as empty.
    """

    min_text_lines: int = 1  # ours: drops what datatrove calls empty
    min_terminal_lines: float = 0.12  # fraction of the lines that end in ".", "?", "!" or their like in any script
    max_short_lines: float = 0.67  # fraction of the lines of 30 characters or fewer
    max_duplicate_text_line_characters: float = 0.01  # fraction of the characters, newlines left out
    max_newline_ratio: float = 0.3  # newlines a word

    reads: ClassVar[Schema] = {"text": "string"}
    signals: ClassVar[Schema] = {
        "text_lines": "int64",
        "terminal_lines": "float64",
        "short_lines": "float64",
        "duplicate_text_line_characters": "float64",
        "newline_ratio": "float64",
    }
    rules: ClassVar[tuple[Rule, ...]] = (
        at_least("empty", "text_lines", "min_text_lines"),
        at_least("few_terminal_lines", "terminal_lines", "min_terminal_lines"),
        at_most("short_lines", "short_lines", "max_short_lines"),
        at_most(
            "duplicate_text_line_characters", "duplicate_text_line_characters", "max_duplicate_text_line_characters"
        ),
        at_most("newlines", "newline_ratio", "max_newline_ratio"),
    )
    shared_pass = Pass("text_signals")
