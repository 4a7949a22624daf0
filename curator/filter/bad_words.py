"""C4's filter of documents with bad words (Raffel et al. 2020, JMLR 21:140, section 2.2; mC4: Xue et al. 2021)."""

from __future__ import annotations

import functools
import itertools
import re
import sys
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.errors import InputError, SpecError, check_seed
from curator.kernels.arrow import each
from curator.stage import Filter, Frame, Rule, at_most
from millrace import storage, tables

UNSPACED = ("ja", "th", "zh")  # languages whose words may stand anywhere
# Entries of the Japanese and Chinese lists that C4's code lets pass: parts of many harmless words.
ALLOWED = ("sm", "グロ", "女の子", "性")


@dataclass(frozen=True)
class C4BadWords(Filter):
    """Drop texts in which an entry of a list of bad words stands.

    `words` are files of yours, UTF-8 with an entry a line, as those of LDNOOBW's "List of Dirty, Naughty, Obscene
    and Otherwise Bad Words", which C4 used; a file is named by its language (`en`, `zh`, `de.txt`). Decisions are
    those of datatrove 0.10's C4BadWordsFilter with the same list: the lower case of a text is searched, and an
    entry counts between characters that are no \\w, or at the ends; in Japanese, Thai and Chinese lists anywhere.
    Unlike there, entries are lower-cased too (there one with a capital is never found), and blank lines are none.

    `bad_word` is the entry found (the first place, the longest entry; by the first list that finds any) and
    `bad_word_draw` a number in (0, 1] that the text and the seed decide; both are null where nothing is found, or
    no list is of the text's language. A missing text is kept. InputError where a file is missing, empty or no UTF-8.
    Cost: about 250 MB/s a core for 400 entries and few finds (a 2017 server core).
    """

    words: tuple[str, ...]  # URLs of the lists
    by_language: bool = False  # judge a text by the lists of its `lang` alone; False: by all of them
    keep_fraction: float = 0.0  # of the texts with a bad word, drawn
    seed: int = 0

    signals: ClassVar = {"bad_word": "string", "bad_word_draw": "float64"}
    rules: ClassVar[tuple[Rule, ...]] = (at_most("bad_word", "bad_word_draw", "keep_fraction"),)
    files = ("words",)
    libraries = ("xxhash",)

    def __post_init__(self) -> None:
        check_seed("C4BadWords", self.seed)
        if not self.words:
            raise SpecError("C4BadWords.words names no file; expected lists of words, one entry a line")
        if not 0 <= self.keep_fraction <= 1:
            raise SpecError(f"C4BadWords.keep_fraction is {self.keep_fraction}; it must be from 0 to 1")

    @property
    def reads(self) -> dict[str, str]:  # type: ignore[override]
        return {"text": "string"} | ({"lang": "string"} if self.by_language else {})

    def named_files(self) -> dict[str, tuple[str, ...]]:
        return {"words": tuple(map(_existing, self.words))}

    def file_names(self) -> list[Any]:
        """Return the lists' languages."""
        return [*map(language, self.words)]

    def check(self, output: str) -> None:
        for url in self.words:
            _patterns(url)

    def measure(self, frame: Frame) -> Frame:
        text = frames.column_to_arrow(frame["text"])
        found = pa.nulls(len(text), pa.large_string())
        for url in self.words:
            sought = text
            if self.by_language:
                of_it = pc.equal(frames.column_to_arrow(frame["lang"]), language(url))
                sought = pc.if_else(pc.fill_null(of_it, False), text, None)
            found = pc.coalesce(found, _first_found(sought, *_patterns(url)))
        return frames.like(frame["text"], {"bad_word": found, "bad_word_draw": self._drawn(text, found)})

    def _drawn(self, text: pa.Array, found: pa.Array) -> pa.Array:
        """Return a number in (0, 1] for each text in which a word is found: of 53 bits of its XXH3-64."""
        import xxhash

        rows = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
        chosen = each(frames.from_arrow(pa.table({"text": text.take(pa.array(rows))}))["text"])
        drawn = np.full(len(text), np.nan)
        drawn[rows] = [((xxhash.xxh3_64_intdigest(one, self.seed) >> 11) + 1) / 2**53 for one in chosen]
        return pa.array(drawn, from_pandas=True)

    def explain(self, signals: Frame, reason: str) -> dict[str, Any]:
        return super().explain(signals, reason) | {"value_text": signals["bad_word"]}


def language(url: str) -> str:
    """Return the language a list is named by: fr of lists/fr.txt."""
    return PurePosixPath(url).name.partition(".")[0]


def _existing(url: str) -> str:
    if not storage.exists(url):
        raise InputError(f"C4BadWords.words: there is no file {url}; expected a list of words, one entry a line")
    return url


def _patterns(url: str) -> tuple[str, str]:
    return _patterns_of(_existing(url), str(tables.checksum(storage.absolute(url))["xxh3"]))


@functools.lru_cache(maxsize=64)
def _patterns_of(url: str, checksum: str) -> tuple[str, str]:
    """Return RE2 patterns of a list: one that finds, in texts as they are, no text too few, and one that finds
    the entry, `word`, in lower-case texts."""
    try:
        lines = storage.read_bytes(url).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"C4BadWords.words: {url} is not UTF-8: {error}") from None
    entries = {line.strip().lower() for line in lines} - {"", *ALLOWED}
    if not entries:
        raise InputError(f"C4BadWords.words: {url} holds no entry; expected one a line")
    ordered = sorted(entries, key=lambda entry: (-len(entry), entry))
    raised = "|".join("".join(map(_either_case, entry)) for entry in ordered)
    exact = "|".join(map(re.escape, ordered))
    if language(url) in UNSPACED:
        return f"{raised}|İ", f"(?P<word>{exact})"
    other = f"[^{_word_characters()}]"
    # İ is two characters in lower case: where it stands, the exact pattern is asked
    return f"(?:^|[^0-9A-Za-z_])(?:{raised})(?:$|[^0-9A-Za-z_])|İ", f"(?:^|{other})(?P<word>{exact})(?:$|{other})"


def _first_found(text: pa.Array, maybe: str, exact: str) -> pa.Array:
    """Return the first entry found in each text, null where there is none."""
    asked = pc.fill_null(pc.match_substring_regex(text, maybe), False)
    lowered = pa.array([one.lower() for one in text.filter(asked).to_pylist()], pa.large_string())
    found = pc.struct_field(pc.extract_regex(lowered, exact), "word").cast(pa.large_string())
    return pc.replace_with_mask(pa.nulls(len(text), pa.large_string()), asked, found)


def _either_case(character: str) -> str:
    """Return a pattern of the characters whose lower case is this one."""
    others = "".join(_capitals().get(character, ()))
    return f"[{character}{others}]" if others else re.escape(character)


@functools.cache
def _capitals() -> dict[str, list[str]]:
    """Return the characters of each lower-case one; a sigma is lowered by its neighbours to one of two."""
    capitals: dict[str, list[str]] = {"ς": ["Σ"]}
    for character in map(chr, range(sys.maxunicode + 1)):
        if character.lower() != character:
            capitals.setdefault(character.lower(), []).append(character)
    return capitals


@functools.cache
def _word_characters() -> str:
    """Return the ranges of what \\w matches in Python, for a class of RE2."""
    codes = np.array([c for c in range(sys.maxunicode + 1) if chr(c).isalnum() or c == ord("_")])
    starts = np.flatnonzero(np.diff(codes, prepend=-2) != 1)
    bounds = itertools.pairwise([*starts.tolist(), len(codes)])
    return "".join(f"\\x{{{codes[a]:x}}}-\\x{{{codes[b - 1]:x}}}" for a, b in bounds)
