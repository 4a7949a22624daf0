"""NeMo Curator's filters for source code, as rules of one, with per-language limits of StarCoder2.

Limits: NeMo Curator's filters/code.py, most of them from StarCoder (Li et al. 2023, arXiv:2305.06161, section 3);
of lines: StarCoder2 (Lozhkov et al. 2024, arXiv:2402.19173, section on filters of The Stack v2). NeMo's
PerExtensionFilter reads such limits from a table that comes with BigCode's data, and drops what the table lacks.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.filter.code_languages import language, marks, of_path
from curator.kernels.arrow import flatten
from curator.stage import Filter, Frame, Rule, Schema, at_least, at_most
from curator.tokenizer_file import load
from millrace import storage

XML_HEADER, XML_HEADER_REACH = "<?xml version=", 100  # characters from the text's begin (StarCoder, NeMo)


@dataclass(frozen=True)
class CodeQuality(Filter):
    """Drop source code that is not written by hand, or has too little or too much comment.

    The language is named by the column `lang`, by its name or a file ending in any case ("C++", "cpp"), or by
    the ending of the path in `url`. A signal that a language has no use for is null, and rejects nothing:

    * comments: of the languages in curator.filter.code_languages; null for markup, data and unknown ones. By
      code points in comments, marks not counted, of all. Python's docstrings count too (strings that are a
      statement). Found by a table of marks, not by a parser: code that does not parse is measured as well,
      where NeMo's ast finds nothing and drops it; nested block comments end at the first close, and heredocs
      and regular expressions are read as code.
    * the XML header: of all but `xml_languages`, where it is in its place.
    * letters (str.isalpha), of all but `alphanumeric_languages`, whose letters and digits count instead.
    * text that is shown: of HTML, code points outside tags, comments, scripts and styles, white space
      included, character references as written (BeautifulSoup's get_text decodes them).
    * lines: parts between line feeds. The longest one of `long_line_languages` has a limit of its own; of
      these the mean is not measured.
    * characters a token: where `tokenizer`, a tokenizer.json, is given.

    A missing text is judged as an empty one. Ratios of an empty text are 0. Cost: about 100 MB/s a core, with a
    tokenizer 3 to 4.
    """

    language: Literal["lang", "url"] = "lang"
    min_lines: int | None = 10
    max_lines: int | None = 20_000
    min_comments: float | None = 0.01  # code points of comments, of all
    max_comments: float | None = 0.85
    tokenizer: str = ""
    min_characters_per_token: float | None = 2.5
    max_xml_headers: int | None = 0
    min_letters: float | None = 0.25
    min_alphanumeric: float | None = 0.25  # StarCoder2: where letters are few by the language's nature
    min_shown_characters: int | None = 100
    min_shown: float | None = 0.2
    max_line_length: int | None = 1000  # characters; StarCoder2
    max_mean_line_length: float | None = 100.0  # StarCoder2
    max_long_line_length: int | None = 100_000  # StarCoder2, of long_line_languages
    xml_languages: tuple[str, ...] = ("xml", "xsl", "xslt", "svg", "html", "xhtml")
    alphanumeric_languages: tuple[str, ...] = ("motorola-68k-assembly", "webassembly", "wat", "wast")
    long_line_languages: tuple[str, ...] = (
        "html", "htm", "json", "markdown", "md", "roff", "roff-manpage", "smt", "smt2", "tex", "text", "txt", "xml",
    )  # fmt: skip

    signals: ClassVar[Schema] = {
        "code_lines": "int64",
        "code_comments": "float64",
        "code_characters_per_token": "float64",
        "code_xml_headers": "int64",
        "code_letters": "float64",
        "code_alphanumeric": "float64",
        "code_shown_characters": "int64",
        "code_shown": "float64",
        "code_line_length": "int64",
        "code_mean_line_length": "float64",
        "code_long_line_length": "int64",
    }
    rules: ClassVar[tuple[Rule, ...]] = (
        at_least("few_lines", "code_lines", "min_lines"),
        at_most("many_lines", "code_lines", "max_lines"),
        at_least("few_comments", "code_comments", "min_comments"),
        at_most("many_comments", "code_comments", "max_comments"),
        at_least("many_tokens", "code_characters_per_token", "min_characters_per_token"),
        at_most("xml_header", "code_xml_headers", "max_xml_headers"),
        at_least("few_letters", "code_letters", "min_letters"),
        at_least("few_alphanumeric", "code_alphanumeric", "min_alphanumeric"),
        at_least("few_shown_characters", "code_shown_characters", "min_shown_characters"),
        at_least("little_shown", "code_shown", "min_shown"),
        at_most("long_line", "code_line_length", "max_line_length"),
        at_most("long_lines", "code_mean_line_length", "max_mean_line_length"),
        at_most("very_long_line", "code_long_line_length", "max_long_line_length"),
    )
    files: ClassVar = ("tokenizer",)

    def __post_init__(self) -> None:
        for field in ("xml_languages", "alphanumeric_languages", "long_line_languages"):
            object.__setattr__(self, field, tuple(map(language, getattr(self, field))))
        if self.tokenizer:
            load(storage.absolute(self.tokenizer))

    @property
    def reads(self) -> dict[str, str]:  # type: ignore[override]
        return {"text": "string", self.language: "string"}

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("tokenizers",) if self.tokenizer else ()

    def measure(self, frame: Frame) -> Frame:
        from curator.kernels import code

        text = pc.fill_null(frames.column_to_arrow(frame["text"]).cast(pa.large_string()), "")
        bytes_of = flatten(text)
        counts = code.count(*bytes_of)
        names = self._languages(frame)
        comments, commented = self._comments(bytes_of, names)
        html = np.isin(names, ("html", "htm", "xhtml"))
        shown = np.zeros(len(counts), np.int64)
        code.shown(*bytes_of, np.flatnonzero(html), shown)
        by_digits, long_lines = np.isin(names, self.alphanumeric_languages), np.isin(names, self.long_line_languages)
        start = pc.utf8_slice_codeunits(text, 0, XML_HEADER_REACH)
        headers = pc.count_substring(start, XML_HEADER).to_numpy(zero_copy_only=False).astype(np.int64)
        characters, lines = counts["characters"], counts["newlines"] + 1
        signals: dict[str, Any] = {
            "code_lines": lines,
            "code_comments": _where(commented, _ratio(comments, characters)),
            "code_characters_per_token": self._characters_per_token(text, characters),
            "code_xml_headers": _where(~np.isin(names, self.xml_languages), headers),
            "code_letters": _where(~by_digits, _ratio(counts["letters"], characters)),
            "code_alphanumeric": _where(by_digits, _ratio(counts["alphanumeric"], characters)),
            "code_shown_characters": _where(html, shown),
            "code_shown": _where(html, _ratio(shown, characters)),
            "code_line_length": _where(~long_lines, counts["longest_line"]),
            "code_mean_line_length": _where(~long_lines, _ratio(characters - counts["newlines"], lines)),
            "code_long_line_length": _where(long_lines, counts["longest_line"]),
        }
        return frames.like(frame["text"], signals)

    def _languages(self, frame: Frame) -> np.ndarray:
        """Return the name, or file ending, of each text's language: object (texts,), "" where it is not known."""
        column = frames.column_to_arrow(frame[self.language]).dictionary_encode()
        name = language if self.language == "lang" else of_path
        named = [name(value) for value in column.dictionary.to_pylist()]
        each: np.ndarray = np.array([*named, ""], object)[column.indices.fill_null(len(named)).to_numpy()]
        return each

    def _comments(self, text: tuple[np.ndarray, np.ndarray], names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (characters of comments, whether they were measured), each (texts,)."""
        from curator.kernels import code

        total = np.zeros(len(names), np.int64)
        measured = np.zeros(len(names), bool)
        for name in np.unique(names.astype(str)).tolist():
            if name in marks():
                rows = np.flatnonzero(names == name)
                code.comments(*text, rows, _syntax(name), marks()[name].documents, total)
                measured[rows] = True
        return total, measured

    def _characters_per_token(self, text: pa.Array, characters: np.ndarray) -> pa.Array:
        """Return float64 (texts,): null without a tokenizer, or without a token."""
        if not self.tokenizer:
            return pa.nulls(len(text), pa.float64())
        encoded = load(storage.absolute(self.tokenizer)).encode_batch_fast(text.to_pylist(), add_special_tokens=False)
        tokens = np.array([len(encoding) for encoding in encoded], np.int64)
        return _where(tokens > 0, _ratio(characters, tokens))


@functools.cache
def _syntax(name: str) -> Any:
    from curator.kernels.code import syntax

    return syntax(marks()[name].markers())


def _ratio(dividend: np.ndarray, divisor: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = dividend / np.maximum(divisor, 1)
    return ratio


def _where(mask: np.ndarray, values: np.ndarray) -> pa.Array:
    """Return the values, null where the mask is false."""
    return pa.array(values, mask=~mask)
