"""Programming languages: their names, the endings of their files, and how they mark comments.

Markup, style and data languages have no entry: there a file without comments is no fault.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Comments:
    """Marks of a language, separated by blanks; of blocks, long and raw strings each pair. See kernels.code."""

    line: str = ""
    word_line: str = ""
    block: str = ""
    strings: str = ""
    long: str = ""
    raw: str = ""
    documents: bool = False  # strings that are statements are documentation

    def markers(self) -> list[tuple[int, str, str]]:
        """Return (kind, open, close) for `kernels.code.syntax`."""
        from curator.kernels.code import BLOCK, LINE, LONG_STRING, RAW_STRING, STRING, WORD_LINE

        alone = [(LINE, mark, "") for mark in self.line.split()] + [(WORD_LINE, m, "") for m in self.word_line.split()]
        paired = ((BLOCK, self.block), (LONG_STRING, self.long), (RAW_STRING, self.raw))
        pairs = [(kind, *pair) for kind, s in paired for pair in zip(s.split()[::2], s.split()[1::2])]
        return [*alone, *pairs, *((STRING, mark, mark) for mark in self.strings.split())]


C = Comments(line="//", block="/* */", strings="\" '")
HASH = Comments(word_line="#", strings="\" '")
TEXT_BLOCK = '""" """'
# name, further names and endings -> marks
LANGUAGES = {
    "python py pyw pyi pyx cython": Comments(line="#", strings="\" '", long="\"\"\" \"\"\" ''' '''", documents=True),
    "c h": C,
    "c++ cpp cc cxx hpp hh hxx cuda cu cuh": C,
    "c# c-sharp csharp cs": C,
    "java": replace(C, long=TEXT_BLOCK),
    "javascript js mjs cjs jsx typescript ts tsx mts cts": replace(C, long="` `"),
    "go golang": replace(C, raw="` `"),
    "rust rs": Comments(line="//", block="/* */", strings='"'),  # 'a is a lifetime
    "swift": Comments(line="//", block="/* */", strings='"', long=TEXT_BLOCK),
    "kotlin kt kts": replace(C, long=TEXT_BLOCK),
    "scala sc": Comments(line="//", block="/* */", strings='"', long=TEXT_BLOCK),
    "groovy gradle": replace(C, long="\"\"\" \"\"\" ''' '''"),
    "dart": replace(C, long="\"\"\" \"\"\" ''' '''"),
    "objective-c objc mm objective-c++": C,
    "php": Comments(line="//", word_line="#", block="/* */", strings="\" '"),
    "d": Comments(line="//", block="/* */ /+ +/", strings="\" '", raw="` `"),
    "zig": Comments(line="//", strings="\" '"),
    "solidity sol glsl hlsl opencl cl protobuf proto thrift": C,
    "verilog systemverilog sv svh": Comments(line="//", block="/* */", strings='"'),
    "ruby rb": replace(HASH, block="=begin =end"),
    "perl pl pm": replace(HASH, block="=pod =cut =head =cut"),
    "shell bash sh zsh fish": HASH,
    "powershell ps1 psm1": replace(HASH, block="<# #>"),
    "r": Comments(line="#", strings="\" '"),
    "julia jl": Comments(line="#", block="#= =#", strings='"', long=TEXT_BLOCK, documents=True),
    "elixir ex exs": Comments(line="#", strings='"', long=TEXT_BLOCK),
    "nim coffeescript coffee crystal cr": Comments(line="#", strings="\" '", long=TEXT_BLOCK),
    "makefile mk dockerfile cmake tcl awk": Comments(word_line="#", strings='"'),
    "sql plsql plpgsql": Comments(line="--", block="/* */", strings="' \""),
    "lua": Comments(line="--", block="--[[ ]]", strings="\" '", raw="[[ ]]"),
    "haskell hs elm": Comments(line="--", block="{- -}", strings='"'),
    "ada adb ads vhdl vhd": Comments(line="--", strings='"'),
    "common-lisp lisp scheme scm racket rkt clojure clj cljs emacs-lisp el": Comments(
        line=";", block="#| |#", long='" "'
    ),
    "assembly asm nasm": Comments(line=";", block="/* */", strings="\" '"),
    "matlab octave": Comments(line="%", block="%{ %}", strings='"'),  # ' transposes
    "erlang erl hrl": Comments(line="%", strings='"'),
    "prolog": Comments(line="%", block="/* */", strings="\" '"),
    "fortran f90 f95 f03 f08": Comments(line="!", strings="\" '"),
    "visual-basic vb vba vbnet": Comments(line="'", strings='"'),
    "ocaml ml mli standard-ml sml": Comments(block="(* *)", strings='"'),
    "f# f-sharp fsharp fs fsx": Comments(line="//", block="(* *)", strings='"', long=TEXT_BLOCK),
    "pascal pas delphi": Comments(line="//", block="{ } (* *)", strings="'"),
}


@functools.cache
def marks() -> dict[str, Comments]:
    """Return the marks of languages by their names and endings."""
    return {name: comments for names, comments in LANGUAGES.items() for name in names.split()}


def language(name: str | None) -> str:
    """Return a language's name in one spelling: lower case, hyphens for spaces."""
    return "-".join((name or "").lower().replace("_", " ").split())


def of_path(path: str | None) -> str:
    """Return what names the language in a URL or path: its ending, or the file's name where it has none."""
    file = (path or "").partition("?")[0].partition("#")[0].rpartition("/")[2].lower()
    return file.rpartition(".")[2]
