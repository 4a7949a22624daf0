"""Code filters: counts against Python's own tokenizer, parsers and str methods; decisions at their limits."""

from __future__ import annotations

import io
import re
import sysconfig
import tokenize
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator import frames
from curator.errors import ModelError
from curator.filter.code import CodeQuality
from curator.filter.code_languages import LANGUAGES, marks
from curator.kernels import code
from curator.kernels.arrow import flatten
from curator.kernels.code import WIDEST
from curator.schema import arrow_schema

STDLIB = Path(sysconfig.get_path("stdlib"))


def batch(texts: list[str | None], languages: list[str | None], column: str = "lang") -> Any:
    table = pa.table({"text": texts, column: languages}).cast(arrow_schema({"text": "string", column: "string"}))
    return frames.from_arrow(table)


def measured(texts: list[str | None], languages: list[str | None], stage: CodeQuality | None = None) -> list[dict]:
    return frames.to_arrow((stage or CodeQuality()).measure(batch(texts, languages))).to_pylist()


def comment_characters(name: str, *texts: str) -> list[int]:
    out = np.zeros(len(texts), np.int64)
    rows = np.arange(len(texts))
    syntax = code.syntax(marks()[name].markers())
    code.comments(*flatten(pa.array(texts, pa.large_string())), rows, syntax, marks()[name].documents, out)
    return out.tolist()


def by_tokenize(source: str) -> int:
    """Count Python's comments and string statements by its own tokenizer."""
    total, depth, begun, waiting = 0, 0, False, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            total += len(token.string) - 1
            continue
        if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
            total += len(waiting)
            waiting = ""
        if token.type in (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            begun = begun and token.type == tokenize.NL and depth > 0
            continue
        waiting = ""
        if token.type == tokenize.STRING and not begun and not re.match("[a-zA-Z]*[bfBF]", token.string):
            waiting = re.sub(r"^[rRuU]?(\"\"\"|'''|\"|')(.*)\1$", r"\2", token.string, flags=re.S)
        depth += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
        if depth < 0:  # Python 3.11's tokenizer goes on
            raise SyntaxError("a bracket that nothing opened")
        begun = True
    return total


def test_python_comments_against_its_own_tokenizer_on_the_standard_library():
    files = [path for path in sorted(STDLIB.glob("*.py")) if path.stat().st_size < 60_000][:80]
    assert len(files) > 50
    sources = [path.read_text() for path in files]
    assert comment_characters("python", *sources) == [by_tokenize(source) for source in sources]


PYTHON = [
    "x = 1",
    "#c#",
    "# é",
    '"d"',
    "'''d\n#'''",
    'r"""\\"""',
    "f'#'",
    "b'x'",
    "(",
    ")",
    "[\n",
    "]",
    "\n",
    "\n",
    " ",
    "\\\n",
    ";",
]


@given(st.lists(st.sampled_from(PYTHON), max_size=12).map("".join))
def test_python_comments_against_its_own_tokenizer(source):
    try:
        wanted = by_tokenize(source)
    except (tokenize.TokenError, SyntaxError):
        comment_characters("python", source)  # what does not parse is measured all the same
        return
    if re.search(r"[\"'] *[\"'bfr]|\\\n *(\n|$)|[;\\] *[\n\"'fbr]|\) *[\"'#]|[\[(] *\n? *[\])]", source):
        return  # strings side by side, odd continuations
    assert comment_characters("python", source) == [wanted]


@pytest.mark.parametrize(
    ("language", "source", "comments"),
    [
        ("c", 'a // one\n"// no" /* two\n*/ \'"\' // x', " one two\n x"),
        ("c", '"open // no\nb // yes', " yes"),
        ("c", "/* open", " open"),
        ("javascript", "`// no\n${a} // no` // yes", " yes"),
        ("javascript", r"s.replace(/\"/g, '') // yes", " yes"),
        ("go", "`\\` // yes", " yes"),
        ("rust", "fn f<'a>(x: &'a str) { // yes", " yes"),
        ("shell", "echo \"$#\" ${#a} a#b # yes\n# yes\n'# no'", " yes yes"),
        ("ruby", '"#{a}" # yes\n=begin\nall\n=end\n', " yes\nall\n"),
        ("sql", "select '--' -- yes\n/* no end", " yes no end"),
        ("lua", "--[[ a\nb ]] x -- c\n[[ -- no ]]", " a\nb  c"),
        ("haskell", "f = '\"' \n-- yes\n{- x -}", " yes x "),
        ("lisp", '"; no" ; yes\n#| x |#', " yes x "),
        ("matlab", "a' % yes\n%{ x %}", " yes x "),
        ("ocaml", '"(* no *)" (* yes *)', " yes "),
        ("visual-basic", "x = \"'\" ' yes", " yes"),
        ("powershell", "<# x #> # yes", " x  yes"),
        ("julia", '"""doc"""\nf(x) = "no" # yes', "doc yes"),
    ],
)
def test_comments_by_example(language, source, comments):
    assert comment_characters(language, source) == [len(comments)]


def test_names_of_languages_are_unique_and_marks_fit():
    names = [name for names in LANGUAGES for name in names.split()]
    assert len(names) == len(set(names))
    for comments in LANGUAGES.values():
        assert all(len(mark.encode()) <= WIDEST for _, *pair in comments.markers() for mark in pair)
        for pairs in (comments.block, comments.long, comments.raw):
            assert len(pairs.split()) % 2 == 0


@given(st.lists(st.text(st.sampled_from("aZé_9٣ \n\r\t.#²中\0\U0001f600"), max_size=30), max_size=5))
def test_counts_against_str_methods(texts):
    for text, row in zip(texts, measured(list(texts), ["Unknown"] * len(texts)), strict=True):
        lines = text.split("\n")
        assert row["code_lines"] == len(lines)
        assert row["code_letters"] == sum(map(str.isalpha, text)) / max(len(text), 1)
        assert row["code_line_length"] == max(map(len, lines))
        assert row["code_mean_line_length"] == sum(map(len, lines)) / len(lines)
        assert row["code_comments"] is None
        assert row["code_characters_per_token"] is None
    for text, row in zip(texts, measured(list(texts), ["WebAssembly"] * len(texts)), strict=True):
        assert row["code_alphanumeric"] == sum(map(str.isalnum, text)) / max(len(text), 1)
        assert row["code_letters"] is None


class Shown(HTMLParser):
    """Counts text outside scripts and styles, by Python's own parser."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.total, self.hidden = 0, ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.hidden = tag if tag in ("script", "style") else self.hidden

    def handle_endtag(self, tag: str) -> None:
        self.hidden = "" if tag == self.hidden else self.hidden

    def handle_data(self, data: str) -> None:
        self.total += 0 if self.hidden else len(data)

    def handle_entityref(self, name: str) -> None:
        self.total += len(name) + 2


PIECES = [
    "<p>", "</p>", '<a href="x>y">', "<!-- <b> -->", "<!DOCTYPE html>", "<script>a<b</script>",
    "<STYLE t=1>p{}</style >", "text", "é", "&amp;", " ", "\n", "1 < 2", "<br/>", "<?php x ?>", "<scripted>",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_shown_text_against_pythons_parser(html):
    parser = Shown()
    parser.feed(html)
    parser.close()
    (row,) = measured([html], ["HTML"])
    assert row["code_shown_characters"] == parser.total
    assert row["code_shown"] == parser.total / max(len(html), 1)


@pytest.mark.parametrize(
    "html",
    ["<", "a<", "<!", "<!-", "<!--", "<!-->", "<a", "<a href=", '<a href="', "<script", "<script>", "</", "<style>\0"],
)
def test_html_that_ends_early(html):
    assert measured([html], ["html"])[0]["code_shown_characters"] <= len(html)


def test_the_language_is_named_by_column_or_by_path():
    texts = ["# comment\nx"] * 6
    names = ["Python", "PY", "c++", None, "JSON", "Motorola 68K Assembly"]
    rows = measured(texts, names)
    assert [row["code_comments"] is not None for row in rows] == [True, True, True, False, False, False]
    assert [row["code_line_length"] is None for row in rows] == [False, False, False, False, True, False]
    assert [row["code_letters"] is None for row in rows] == [False] * 5 + [True]
    paths = ["https://a.org/b/c.py?d=e.cpp", "a/b.CPP#L3", "a/Makefile", "a.py/b", None, "x.json"]
    by_path = frames.to_arrow(CodeQuality("url").measure(batch(texts, paths, "url"))).to_pylist()
    assert [row["code_comments"] is not None for row in by_path] == [True, True, True, False, False, False]
    assert CodeQuality("url").reads == {"text": "string", "url": "string"}


def reasons(text: str | None, language: str = "python", **limits: Any) -> list[str]:
    stage = CodeQuality(**limits)
    masks = stage.reject(stage.measure(batch([text], [language])))
    return [reason for reason, mask in masks.items() if mask.fillna(False).tolist() == [True]]


GOOD = "# A comment that says what it does.\n" + "value = function(argument)\n" * 20


@pytest.mark.parametrize(
    ("text", "language", "why"),
    [
        (GOOD, "python", []),
        ("# comment\nvalue = 1\n", "python", ["few_lines"]),
        (GOOD + "x\n" * 20_000, "python", ["many_lines", "few_comments"]),
        (GOOD.replace("#", "x ="), "python", ["few_comments"]),
        (GOOD.replace("#", "x ="), "json", []),
        ("# only comments in this text\n" * 20, "python", ["many_comments"]),
        ('<?xml version="1.0"?>\n' + GOOD, "python", ["xml_header"]),
        ("x" * 90 + '<?xml version="1.0"?>\n' + GOOD, "python", []),  # not within 100 characters
        ('<?xml version="1.0"?>\n' + GOOD, "xml", []),
        ("1, 2, 3, 4, 5, 6\n" * 20, "javascript", ["few_comments", "few_letters"]),
        ("i32.const 12345678\n" * 20, "WebAssembly", []),
        ("<p>\n" * 20, "html", ["few_shown_characters"]),
        ("<p class='abcdefghijk'>word\n" * 30, "html", ["little_shown"]),
        ("<p>Some words for all to see</p>\n" * 20, "html", []),
        (GOOD + "x" * 1001, "python", ["long_line"]),
        (GOOD + "x" * 1001, "json", []),
        ("# " + "long " * 30 + "\n", "c++", ["few_lines", "few_comments"]),
        (("// " + "long " * 30 + "\nx()\n") * 1 + ("y = " + "long + " * 30 + "\n") * 20, "c", ["long_lines"]),
        (GOOD + "x" * 100_001, "markdown", ["very_long_line"]),
        ("", "python", ["few_lines", "few_comments", "few_letters"]),
        (None, "unknown", ["few_lines", "few_letters"]),
    ],
)
def test_decisions(text, language, why):
    assert reasons(text, language) == why


def test_a_limit_of_none_is_no_limit():
    assert reasons("", min_lines=None, min_comments=None, min_letters=None) == []


def test_characters_per_token(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.to_str())
    stage = CodeQuality(tokenizer=str(path))
    rows = measured(["aaaa a", "a a a", "", None], ["c"] * 4, stage)
    assert [row["code_characters_per_token"] for row in rows] == [3.0, 5 / 3, None, None]
    assert reasons("a a a\n" * 12, "c", tokenizer=str(path), min_comments=None) == ["many_tokens"]
    assert stage.named_files() == {"tokenizer": (str(path),)}
    tokenizer.pre_tokenizer = pre_tokenizers.Split("a", "isolated")
    path.write_text(tokenizer.to_str())  # what the process has read before does not matter
    assert [row["code_characters_per_token"] for row in measured(["aaaa a"], ["c"], stage)] == [1.0]
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(ModelError, match=r"broken\.json is not a tokenizer\.json"):
        CodeQuality(tokenizer=str(tmp_path / "broken.json"))


@pytest.mark.parametrize("language", ["python", "c", "html", "lua"])
def test_hostile_texts(language):
    texts = ["x" * 50_000_000, "\0", "\r\n", '"' * 1_000_001, "/*" * 500_000, "<" * 1_000_000, "\\", "\\" * 7, None]
    rows = measured(texts, [language] * len(texts))
    assert rows[0]["code_line_length"] in (50_000_000, None)
    assert [row["code_lines"] for row in rows] == [1, 1, 2, 1, 1, 1, 1, 1, 1]
