"""C4's rules for whole documents (Raffel et al. 2020, JMLR 21:140, section 2.2; mC4: Xue et al. 2021).

They decide as the filters of datatrove 0.10 do, but for the number of sentences, which is counted by another rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from curator import kernels
from curator.filter.words import SPACES
from curator.stage import Filter, Frame, Rule, Schema, at_least, at_most


@dataclass(frozen=True)
class C4Quality(Filter):
    """Drop texts with "lorem ipsum", with a curly bracket, or of few sentences.

    It judges what C4Lines left: datatrove asks for both only in the lines that it keeps. A text with both is
    dropped for lorem_ipsum, where datatrove names what it finds first. A missing text is judged as an empty one.

    Sentences are those of `curator.kernels.sentences`: a line has one, and one more for each mark (! ? or a full
    stop, no ellipsis, initial or common abbreviation) at the end of a word, closing quotes and brackets aside,
    that a word follows in the line. datatrove asks spaCy's sentencizer; benchmarks/results/c4_sentences.md says
    how often the two differ. The rule knows the abbreviations of English only.
    """

    max_lorem_ipsum: int = 0  # occurrences, in any case
    max_curly_brackets: int = 0  # "{"
    min_sentences: int = 5  # datatrove's; the paper says 3

    reads: ClassVar[Schema] = {"text": "string"}
    signals: ClassVar[Schema] = {"lorem_ipsum": "int64", "curly_brackets": "int64", "sentences": "int64"}
    rules: ClassVar[tuple[Rule, ...]] = (
        at_most("lorem_ipsum", "lorem_ipsum", "max_lorem_ipsum"),
        at_most("curly_bracket", "curly_brackets", "max_curly_brackets"),
        at_least("few_sentences", "sentences", "min_sentences"),
    )
    shared_pass = SPACES


@dataclass(frozen=True)
class C4Paragraphs(Filter):
    """Drop texts without several long paragraphs, as mC4 does.

    A paragraph is what stands between two line feeds. A missing text is judged as an empty one.
    """

    min_paragraphs: int = 3
    min_paragraph_characters: int = 200  # of each that counts

    reads: ClassVar[Schema] = {"text": "string"}
    signals: ClassVar[Schema] = {"long_paragraphs": "int64"}
    rules: ClassVar[tuple[Rule, ...]] = (at_least("few_paragraphs", "long_paragraphs", "min_paragraphs"),)

    def measure(self, frame: Frame) -> Frame:
        return kernels.long_paragraphs(frame["text"], self.min_paragraph_characters)
