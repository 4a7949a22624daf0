"""The lines that C4 cuts (Raffel et al. 2020, JMLR 21:140, section 2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from curator import frames, kernels
from curator.edit import Edit, Spans
from curator.kernels.c4 import FILLS, KINDS
from curator.kernels.c4_phrases import CURLY_BRACKET, JAVASCRIPT, LOREM_IPSUM, POLICY
from curator.stage import Frame

NO_LIMIT = (1 << 62) - 1


@dataclass(frozen=True)
class C4Lines(Edit):
    """Cut the lines that do not end a sentence, have few words, or speak of JavaScript, cookies or terms of use.

    What is left is, to the byte, the text that datatrove 0.10's C4QualityFilter leaves of a text it keeps: lines
    (str.splitlines) without white space at their ends, joined by a line feed, none at the ends of the text. Put
    C4Quality behind it, for what C4 judges the whole text by. Lines only: datatrove's other mode, which judges
    sentence by sentence, is not offered.

    `c4_cut_kinds` says why a line went, by the first of: long_word, no_terminal_mark, few_words, javascript,
    policy ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies");
    and citation, [1], [], [edit] or [citation needed], in a line that stays. White space that goes, and line
    breaks that become a line feed, are not told, nor are blank lines. A missing text stays missing.
    Cost: about 140 MB/s a core (a 2017 server core).
    """

    min_words: int | None = 3  # of a line (str.split), citations counted; datatrove's, the paper says 5. None: any
    max_word_length: int | None = 1000  # characters; of C4's code, not the paper. None: any
    terminal_mark: bool = True  # cut lines that do not end in . ? ! " or ', or end in an ellipsis ("...")
    citations: bool = True  # cut them out of lines
    javascript: bool = True  # cut lines with this word
    policy: bool = True  # cut lines with one of these phrases
    lorem_ipsum: bool = True  # leave lines with these words to C4Quality, even where they speak of JavaScript
    curly_bracket: bool = True  # leave lines with a { to it, even where they hold a policy phrase
    max_cut: float = 1.0  # C4 sets no limit
    min_characters: int = 1

    name: ClassVar[str] = "c4"

    def spans(self, frame: Frame) -> Spans:
        sought = (
            self.lorem_ipsum * LOREM_IPSUM
            + self.curly_bracket * CURLY_BRACKET
            + self.javascript * JAVASCRIPT
            + self.policy * POLICY
        )
        min_words = 0 if self.min_words is None else self.min_words
        max_word_length = NO_LIMIT if self.max_word_length is None else self.max_word_length
        found = kernels.c4_lines(frame["text"], min_words, max_word_length, self.terminal_mark, self.citations, sought)
        lists = {name: frames.column_to_arrow(found[name]) for name in ("starts", "stops", "kinds", "fills")}
        starts, stops, kinds, fills = (column.flatten().to_numpy() for column in lists.values())
        first = np.append(0, np.cumsum(lists["starts"].value_lengths().to_numpy(zero_copy_only=False)))
        named = pa.array(KINDS, pa.large_string()).take(pa.array(kinds))
        return Spans(first, starts, stops, {"kinds": named}, kinds != KINDS.index(""), FILLS, fills.astype(np.int64))
