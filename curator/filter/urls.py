"""Filtering by URL: block lists, and words that score against a page."""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.errors import InputError, SpecError
from curator.filter import url_lists
from curator.filter.url_lists import Pattern, Rules
from curator.stage import Column, Filter, Frame, at_most
from millrace import storage
from millrace.storage import File

if TYPE_CHECKING:
    from curator.kernels.url_rules import Names, Patterns

LISTS = ("domains", "urls", "adblock", "substrings", "regexes", "strict_words", "hard_words", "soft_words")
ALTERNATIVES = 500  # of one regular expression: RE2 has room for some 8 MB of program


@dataclass(frozen=True)
class UrlFilter(Filter):
    """Drop documents whose URL is on a block list, or holds words that score against it.

    All lists are files of the user (a path, a glob, or several; .gz, .bz2, .zst): none is built in. Comments begin
    with `#`, in AdBlock-like lists with `!`.

    domains      a name a line, as UT1's `domains`, or a hosts file: that host and all below it
    urls         a URL a line, as UT1's `urls`: it and what lies below it, up to / ? & or its end
    adblock      rules as EasyList's, with `||` `|` `^` `*` and exceptions (`@@`), which hold against these lists alone.
                 A page is asked for by itself, as a document: a rule without options applies to it, and so do
                 `$document`, `$popup`, `$all`, `$~third-party` and types that are excluded (`$~script`). Rules for
                 third parties, for content of a page, for content on certain domains, or that hide elements cannot
                 apply; `refused` counts them
    substrings   text that stands anywhere in the URL
    regexes      RE2, found anywhere in the URL
    strict_words, hard_words, soft_words   as RefinedWeb's URL score (Penedo et al. 2023, appendix G.1): a strict word
                 counts wherever it stands once all but letters and digits is gone, the others only as whole words
                 between such; hard ones count one by one, soft ones are harmless alone

    URLs are compared in lower case, without user, port and fragment; hosts as IDNA. A missing or empty URL is kept.
    Signals: `url_rule` (file, line and text of the first rule of the first list that matches, null for none),
    `url_words` (those found), and how many different ones of each kind.

    Cost, evidence included: 0.4 us a URL with 4.6 million domains, 0.6 with EasyList, 5 with 424 words beside domains
    and URLs; 1.4 s to read a million domains, once a process. A domain takes 90 bytes, its text included
    (benchmarks/results/url_filter.md).
    """

    domains: Any = ()
    urls: Any = ()
    adblock: Any = ()
    substrings: Any = ()
    regexes: Any = ()
    strict_words: Any = ()
    hard_words: Any = ()
    soft_words: Any = ()
    max_strict_words: int | None = 0
    max_hard_words: int | None = 0
    max_soft_words: int | None = 1  # RefinedWeb: two are too many

    reads: ClassVar = {"url": "string"}
    signals: ClassVar = {
        "url_rule": "string",
        "url_words": "string",
        "url_strict_words": "int64",
        "url_hard_words": "int64",
        "url_soft_words": "int64",
    }
    rules: ClassVar = tuple(at_most(f"{kind}_words", f"url_{kind}_words", f"max_{kind}_words")
                            for kind in ("strict", "hard", "soft"))  # fmt: skip

    def __post_init__(self) -> None:
        for name in LISTS:
            given = getattr(self, name)
            given = (given,) if isinstance(given, str) else given
            if not isinstance(given, list | tuple) or not all(isinstance(one, str) and one for one in given):
                raise SpecError(f"UrlFilter.{name} is {given!r}; it must be a path, a glob, or a list of these")
            object.__setattr__(self, name, tuple(given))

    def named_files(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(file.url for file in files) for name, files in self._files() if files}

    def file_names(self) -> list[Any]:
        """Return the lists' names, which `url_rule` says."""
        return [[file.url.rpartition("/")[2] for file in files] for _, files in self._files()]

    def check(self, output: str) -> None:
        self.index()

    def _files(self) -> tuple[tuple[str, tuple[File, ...]], ...]:
        found = {name: [file for glob in getattr(self, name) for file in storage.find(glob)] for name in LISTS}
        return tuple((name, tuple(files)) for name, files in found.items())

    def index(self) -> Index:
        """Return the lists as they are matched, read once a process and state of the files.

        Raises InputError for a list with a line that it cannot hold, and where all files of a setting together hold
        no rule; StorageError where a glob matches no file.
        """
        return _index(self._files())

    @property
    def refused(self) -> Counter[str]:
        """Count the rules of AdBlock-like lists that cannot apply to a page, by why."""
        return self.index().refused

    def measure(self, frame: Frame) -> Frame:
        urls = pc.fill_null(frames.column_to_arrow(frame["url"]).cast(pa.large_string()), "")
        index = self.index()
        counts, said = index.words(urls)
        values = {"url_rule": index.blocked(urls), "url_words": said}
        return frames.like(frame["url"], {**values, **{f"url_{kind}_words": counts[kind] for kind in counts}})

    def reject(self, signals: Frame) -> dict[str, Column]:
        """Reject by the lists first, then by words."""
        return {"blocked_url": signals["url_rule"].notna()} | super().reject(signals)

    def explain(self, signals: Frame, reason: str) -> dict[str, Any]:
        """Name the rule, or the words."""
        said = "url_rule" if reason == "blocked_url" else "url_words"
        return {**super().explain(signals, reason), "value_text": signals[said]}


class Words(NamedTuple):
    """Words of one kind, and the expressions that find a URL which holds any."""

    words: frozenset[str]
    finds: tuple[str, ...]
    whole: bool  # as words; else anywhere between letters and digits


class Index(NamedTuple):
    """Lists as they are matched."""

    names: Names
    patterns: Patterns
    named: Rules  # domains, urls, then hosts of AdBlock-like lists
    adblock_from: int  # the first of the last
    patterned: Rules
    finds: tuple[tuple[str, Rules, tuple[str, ...]], ...]  # kind, rules, expressions
    kinds: dict[str, Words]
    refused: Counter[str]

    def blocked(self, urls: pa.Array) -> pa.Array:
        """Return file, line and text of the first rule that each URL matches, large_string, null for none."""
        from curator.kernels import urls as canonical
        from curator.kernels.arrow import flatten
        from curator.kernels.url_matching import match

        rules, patterns, spared, odd = match(*flatten(urls), self.names, self.patterns)
        if odd.any():
            mended = [canonical.canonical(url) for url in urls.filter(pa.array(odd)).to_pylist()]
            again = match(*flatten(pa.array(mended, pa.large_string())), self.names, self.patterns)
            rules[odd], patterns[odd], spared[odd] = again[:3]
        rules[spared & (rules >= self.adblock_from)] = -1
        patterns[spared | (rules >= 0)] = -1
        said = pa.nulls(len(urls), pa.large_string())
        for found, listed in ((rules, self.named), (patterns, self.patterned)):
            said = _put(said, found, listed)
        for kind, listed, expressions in self.finds:
            if expressions:
                said = _put(said, _first(kind, listed, expressions, urls, said.is_null()), listed)
        return said

    def words(self, urls: pa.Array) -> tuple[dict[str, np.ndarray], pa.Array]:
        """Return how many different words of each kind each URL holds, int64, and which, null for none."""
        texts = pc.ascii_lower(urls) if any(words.words for words in self.kinds.values()) else urls
        counts = {kind: np.zeros(len(urls), np.int64) for kind in self.kinds}
        said: dict[int, list[str]] = {}
        for kind, words in self.kinds.items():
            if not words.words:
                continue
            own = texts if words.whole else pc.replace_substring_regex(texts, "[^a-z0-9]+", "")
            for row in np.flatnonzero(_any(own, words.finds)).tolist():
                text = own[row].as_py()
                held = words.words & set(re.split("[^a-z0-9]+", text)) if words.whole else (
                    {word for word in words.words if word in text})  # fmt: skip
                counts[kind][row] = len(held)
                said.setdefault(row, []).extend(sorted(held))
        mask = np.zeros(len(urls), bool)
        mask[list(said)] = True
        whole = pa.nulls(len(urls), pa.large_string())
        return counts, pc.replace_with_mask(whole, pa.array(mask), _strings([", ".join(said[i]) for i in sorted(said)]))


def _put(said: pa.Array, found: np.ndarray, listed: Rules) -> pa.Array:
    """Return what is said of each URL, with the rules that were found, by number, -1 for none."""
    if not (found >= 0).any():
        return said
    return pc.replace_with_mask(said, pa.array(found >= 0), listed.said(found[found >= 0]))


def _first(kind: str, listed: Rules, expressions: tuple[str, ...], urls: pa.Array, asked: pa.Array) -> np.ndarray:
    """Return the first substring or expression in each URL that is asked about, by number, -1 for none."""
    found = np.full(len(urls), -1)
    texts, finds = (
        (pc.ascii_lower(urls), pc.match_substring) if kind == "substrings" else (urls, pc.match_substring_regex)
    )
    left = np.flatnonzero(_any(texts, expressions) & asked.to_numpy(zero_copy_only=False))
    for number, rule in enumerate(listed.whole().to_pylist()):
        if not len(left):
            break
        here = finds(texts.take(pa.array(left)), rule).to_numpy(zero_copy_only=False)
        found[left[here]] = number
        left = left[~here]
    return found


def _any(texts: pa.Array, expressions: tuple[str, ...]) -> np.ndarray:
    """Tell which texts match any of some RE2 expressions."""
    found = np.zeros(len(texts), bool)
    for expression in expressions:
        found |= pc.match_substring_regex(texts, expression).to_numpy(zero_copy_only=False)
    return found


@functools.lru_cache(maxsize=2)
def _index(listing: tuple[tuple[str, tuple[File, ...]], ...]) -> Index:
    from curator.kernels.arrow import flatten
    from curator.kernels.url_rules import names, patterns

    files, refused = dict(listing), Counter[str]()
    named, patterned, expressions, parts = Rules(), Rules(), Rules(), Rules()
    for file in files["domains"]:
        named.add(file.url, *url_lists.domains(file))
    domains = len(named)
    for file in files["urls"]:
        named.add(file.url, *url_lists.addresses(file))
    before = len(named)
    compared = [pattern for file in files["adblock"] for pattern in _adblock(file, named, patterned, refused)]
    for file in files["regexes"]:
        lines, numbers = url_lists.uncommented(file)
        for number, line in zip(numbers.tolist(), lines.to_pylist(), strict=True):
            if not _is_regex(line):
                raise InputError(f"{file.url}:{number} is not a regular expression that RE2 takes: {line[:80]!r}")
        expressions.add(file.url, lines, numbers)
    for file in files["substrings"]:
        lines, numbers = url_lists.uncommented(file)
        parts.add(file.url, pc.ascii_lower(lines), numbers)
    finds = (
        ("substrings", parts, _alternatives(parts.whole().to_pylist(), "{}", True)),
        ("regexes", expressions, _alternatives(expressions.whole().to_pylist(), "{}", False)),
    )
    kinds = {kind: _words(files[f"{kind}_words"], kind != "strict") for kind in ("strict", "hard", "soft")}
    held = {
        "domains": domains, "urls": before - domains, "regexes": len(expressions), "substrings": len(parts),
        "adblock": len(named) - before + len(patterned) + refused.total(),
        **{f"{kind}_words": len(words.words) for kind, words in kinds.items()},
    }  # fmt: skip
    for kind, rules in held.items():
        if files[kind] and not rules:
            raise InputError(f"UrlFilter.{kind}: {', '.join(file.url for file in files[kind])} holds no rule")
    begins = np.array([p.begins for p in compared], np.uint8)
    closed, spares = (np.array(flags, bool) for flags in ([p.closed for p in compared], [p.spares for p in compared]))
    table = patterns(*flatten(_strings([p.text for p in compared])), begins, closed, spares)
    return Index(names(*flatten(named.whole())), table, named, before, patterned, finds, kinds, refused)


def _adblock(file: File, named: Rules, patterned: Rules, refused: Counter[str]) -> list[Pattern]:
    """Add the rules of one AdBlock-like list to those by name and those by pattern; return the latter."""
    read = list(url_lists.patterns(file, refused))
    hosts = [(number, pattern.text[:-1]) for number, _, pattern in read if pattern.host and not pattern.spares]
    others = [rule for rule in read if rule[2].spares or not rule[2].host]
    named.add(file.url, _strings([text for _, text in hosts]), np.array([number for number, _ in hosts]))
    patterned.add(file.url, _strings([line for _, line, _ in others]), np.array([number for number, _, _ in others]))
    return [pattern for _, _, pattern in others]


def _strings(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


def _is_regex(text: str) -> bool:
    try:
        pc.match_substring_regex(pa.array([""]), text)
    except pa.ArrowInvalid:
        return False
    return True


def _alternatives(rules: list[str], frame: str, literal: bool) -> tuple[str, ...]:
    """Return expressions that together find what any of the rules finds."""
    said = [re.escape(rule) if literal else f"(?:{rule})" for rule in rules]
    return tuple(frame.format("|".join(said[i : i + ALTERNATIVES])) for i in range(0, len(said), ALTERNATIVES))


def _words(files: tuple[File, ...], whole: bool) -> Words:
    """Return the words of some files, all but letters and digits taken out as datatrove does."""
    found: dict[str, None] = {}
    for file in files:
        lines, numbers = url_lists.uncommented(file)
        for number, line in zip(numbers.tolist(), lines.to_pylist(), strict=True):
            word = re.sub("[^a-z0-9]+", "", line.lower())
            if not word:
                raise InputError(f"{file.url}:{number} holds no letter a-z and no digit: {line[:80]!r}")
            found[word] = None
    frame = "(?:^|[^a-z0-9])(?:{})(?:[^a-z0-9]|$)" if whole else "{}"
    return Words(frozenset(found), _alternatives(list(found), frame, True), whole)
