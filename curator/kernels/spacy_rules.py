"""spaCy's blank English tokeniser as tables for compiled loops, read from the rules of the spaCy installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from curator.errors import ModelError
from curator.kernels.affix_rules import needs, read_rules
from curator.kernels.affixes import Affixes
from curator.kernels.chunks import ENTRY, PADDING, find_entries
from curator.kernels.repeats import table_size
from curator.kernels.special_cases import Sequences

IN_URLS = "."  # each URL has one, in its name or its number


class Tokeniser(NamedTuple):
    """The tables, and what tells whether a string is a URL."""

    affixes: Affixes
    sequences: Sequences
    is_url: Callable[[str], object]


def check_spacy() -> None:
    """Raise ModelError where spaCy is not installed."""
    if importlib.util.find_spec("spacy") is None:
        raise ModelError("datatrove's words need spaCy; pip install 'millrace[datatrove-words]'")


def read_tokeniser() -> Tokeniser:
    """Return spaCy's; ModelError where it is not installed, or has rules that no table here can hold."""
    check_spacy()
    import spacy

    language = spacy.blank("en")
    tokenizer = language.tokenizer
    if tokenizer.token_match is not None or not needs(tokenizer.url_match.__self__, IN_URLS):
        raise ModelError("this spaCy's English has tokens or URLs by other rules than 3.8's; install spacy 3.8")
    searches = tokenizer.prefix_search, tokenizer.suffix_search, tokenizer.infix_finditer
    classes, (prefixes, suffixes, infixes), in_urls = read_rules([search.__self__ for search in searches], IN_URLS)
    tokens, sequences = _special_cases(language)
    named = sorted({token for sequence in sequences for token in sequence})
    numbers = {token: number for number, token in enumerate(named, 1)}
    table, cases, arena, longest = _strings({case: " ".join(words) for case, words in tokens.items()}, numbers)
    affixes = Affixes(classes, prefixes, suffixes, infixes, table, cases, arena, longest, in_urls)
    return Tokeniser(affixes, _sequences(sequences, numbers), tokenizer.url_match)


def _special_cases(language: Any) -> tuple[dict[str, list[str]], list[list[str]]]:
    """Return the tokens of each special case, and the sequences of tokens that are searched for.

    A special case is searched for if its text has a prefix, suffix or infix; so while it is loaded where there is
    none, the tokeniser that holds it searches for nothing.
    """
    from spacy.tokenizer import Tokenizer

    whole = language.tokenizer
    matches = {"token_match": whole.token_match, "url_match": whole.url_match}
    affixes = {name: getattr(whole, name) for name in ("prefix_search", "suffix_search", "infix_finditer")}
    cases = [case for case in whole.rules if not case.isspace()]
    unsearched, bare = Tokenizer(language.vocab, rules=whole.rules), Tokenizer(language.vocab, **affixes, **matches)
    tokens = {case: [token.text for token in unsearched(case)] for case in cases}
    searched = [case for case in cases if whole.find_prefix(case) or whole.find_suffix(case) or whole.find_infix(case)]
    sequences = [[token.text for token in bare(case)] for case in searched]
    return tokens, [sequence for sequence in sequences if len(sequence) > 1]


def _strings(shown: dict[str, str], numbers: dict[str, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return the special cases and their tokens as `table`, `cases`, `arena` and `longest` of Affixes."""
    strings = sorted({*shown, *numbers})
    keys, texts = [text.encode() for text in strings], [shown.get(text, "").encode() for text in strings]
    lengths, sizes = np.array([*map(len, keys)], np.uint32), np.array([*map(len, texts)])
    ends, data = np.cumsum(lengths, dtype=np.int64), np.frombuffer(b"".join(keys), np.uint8)
    cases, arena = np.zeros(len(keys) + 1, ENTRY), np.zeros(len(data) + int(sizes.sum()) + PADDING, np.uint8)
    table, filled, ids = np.zeros(table_size(len(cases)), np.uint32), np.array([1, 0]), np.empty(len(keys), np.uint32)
    find_entries(data, ends - lengths, lengths, 0, table, cases, arena, filled, ids)
    arena[len(data) : len(data) + sizes.sum()] = np.frombuffer(b"".join(texts), np.uint8)
    cases["shown"][ids], cases["shown_bytes"][ids] = len(data) + np.cumsum(sizes) - sizes, sizes
    cases["head"][ids] = [numbers.get(text, 0) for text in strings]
    return table, cases, arena, int(lengths.max())


def _sequences(sequences: list[list[str]], numbers: dict[str, int]) -> Sequences:
    if len(numbers) > 255 or max(map(len, sequences)) > 31:
        raise ModelError("this spaCy's special cases are longer, or of more tokens, than 3.8's; install spacy 3.8")
    ordered = sorted([numbers[token] for token in sequence] for sequence in sequences)
    sizes, pairs = np.array([*map(len, ordered)]), np.zeros((256, 256), np.bool_)
    rows = np.zeros((len(ordered), sizes.max()), np.uint8)
    for row, sequence in zip(rows, ordered, strict=True):
        row[: len(sequence)] = sequence
        pairs[sequence[:-1], sequence[1:]] = True
    return Sequences(rows, sizes, np.searchsorted(rows[:, 0], np.arange(257)), pairs)
