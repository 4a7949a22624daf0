"""The words of datatrove 0.10's default tokeniser for English (spaCy's blank "en"), at the speed of a table.

spaCy's tokens of a text are those of its white-space chunks, but for one rule: special cases such as ":)" are
looked for in the sequence of tokens, across a single space too. A match there changes nothing by itself, yet it
forbids shorter matches that overlap it. So spaCy tokenises each chunk once a process; a table keeps the result;
and where two chunks may form such a match it is asked about both together.

Two differences remain. A chunk of more than LONGEST code points is cut there, for spaCy takes time in the square
of its length. And datatrove drops "IS_ALPHA" from texts, from the second one on that a process sees: a workaround
for a fault in spaCy. It is a word here.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from curator.errors import ModelError
from curator.kernels.chunks import (
    ENTRY,
    HEAD,
    PADDING,
    TAIL,
    cut_chunks,
    entangled,
    find_entries,
    put_entries,
    write_shown,
)
from curator.kernels.counts import char_classes
from curator.kernels.repeats import table_size

LONGEST = 4096  # code points; the worst chunk of that length, "((((...", takes spaCy four seconds
MOST_CHUNKS = 2_000_000  # known ones: beyond, the table is emptied before the next texts; about 200 MB
PIECE = 200_000  # characters tokenised in one call
# One token, or two: affixes and infixes of spaCy's English have other characters, or need a digit before them
SIMPLE = re.compile("([A-Za-z]*[a-z])([,.;:!?)]?)")
BROKEN, STAND_IN = "IS_ALPHA", "IS_ALPHB"  # spaCy's memory zones fail on the first; it cuts both alike


def check_spacy() -> None:
    """Raise ModelError where spaCy is not installed."""
    if importlib.util.find_spec("spacy") is None:
        raise ModelError("datatrove's words need spaCy; pip install 'millrace[datatrove-words]'")


def separated(offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (offsets, data) of the texts that hold the same words, with a space after each.

    offsets  # (texts + 1) int64
    data     # uint8: UTF-8
    The result does not depend on what the process has seen before. Raises ModelError without spaCy.
    """
    return _known_chunks().separated(offsets, data)


@functools.cache
def _known_chunks() -> KnownChunks:
    check_spacy()
    return KnownChunks(Tokeniser())


class KnownChunks:
    """A table of chunks and their tokens, which grows by what it meets."""

    def __init__(self, tokeniser: Tokeniser, most: int = MOST_CHUNKS):
        self._tokeniser, self._most = tokeniser, most
        self._lock = threading.Lock()  # neither spaCy nor the table takes two threads
        self._empty()

    def _empty(self) -> None:
        self._entries, self._arena = np.zeros(1 << 12, ENTRY), np.zeros(1 << 16, np.uint8)
        self._table = np.zeros(table_size(len(self._entries)), np.uint32)
        self._filled = np.array([1, 0])  # entry 0 shows nothing

    def separated(self, offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the texts with their words apart; see the function of this name."""
        first, begins, lengths = cut_chunks(offsets, data, char_classes(), LONGEST)
        with self._lock, self._whole():
            if self._filled[0] > self._most:
                self._empty()
            ids = self._find(data, begins, lengths)
            where = data, first, begins, lengths, ids, self._entries, self._tokeniser.pairs
            for start, stop in zip(*entangled(*where), strict=True):
                self._together(data, begins, lengths, ids, start, stop)
            entries, arena = self._entries, self._arena  # what they hold so far stays as it is
        return write_shown(first, ids, entries, arena)

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """Empty the table where work on it is broken off: it would hold chunks without their tokens."""
        try:
            yield
        except BaseException:
            self._empty()
            raise

    def _find(self, data: np.ndarray, begins: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the entry of each chunk; chunks not seen before are tokenised."""
        ids, known, done = np.empty(len(begins), np.uint32), int(self._filled[0]), 0
        while True:
            tables = self._table, self._entries, self._arena, self._filled
            done = find_entries(data, begins, lengths, done, *tables, ids)
            if done == len(begins):
                break
            self._reserve(1, int(lengths[done]))
        self._tokenise(known)
        return ids

    def _reserve(self, entries: int, size: int) -> None:
        """Make room for so many more entries and bytes."""
        count, used = self._filled
        if count + entries > len(self._entries):
            self._entries = np.concatenate([self._entries, np.zeros(len(self._entries) + entries, ENTRY)])
            self._table = np.zeros(table_size(len(self._entries)), np.uint32)
            put_entries(self._table, self._entries, count)
        if used + size + PADDING > len(self._arena):
            self._arena = np.concatenate([self._arena, np.zeros(len(self._arena) + size, np.uint8)])

    def _tokenise(self, known: int) -> None:
        """Write down what the entries from number `known` on show."""
        stop = int(self._filled[0])
        while known < stop:
            upto = known + 1
            size = int(self._entries["key_bytes"][known])
            while upto < stop and size < PIECE:
                size += int(self._entries["key_bytes"][upto])
                upto += 1
            new = self._entries[known:upto]
            begins, ends = new["key"], new["key"] + new["key_bytes"]
            chunks = [self._arena[a:b].tobytes().decode() for a, b in zip(begins, ends, strict=True)]
            self._show(known, *self._tokeniser.look_up(chunks))
            known = upto

    def _show(self, known: int, shown: list[str], heads: np.ndarray, tails: np.ndarray, risks: np.ndarray) -> None:
        texts = [text.encode() for text in shown]
        lengths = np.array([*map(len, texts)])
        self._reserve(0, int(lengths.sum()))
        new, used = self._entries[known : known + len(shown)], int(self._filled[1])
        same = lengths == new["key_bytes"]  # one token: the key itself
        written = b"".join(text for text, is_key in zip(texts, same, strict=True) if not is_key)
        ends = used + np.cumsum(np.where(same, 0, lengths))
        self._arena[used : used + len(written)] = np.frombuffer(written, np.uint8)
        self._filled[1] += len(written)
        new["shown"] = np.where(same, new["key"], ends - lengths)
        new["shown_bytes"], new["head"], new["tail"], new["risk"] = lengths, heads, tails, risks

    def _together(
        self, data: np.ndarray, begins: np.ndarray, lengths: np.ndarray, ids: np.ndarray, start: int, stop: int
    ) -> None:
        """Tokenise the chunks [start, stop) as one text; the first one's entry shows it all."""
        text = data[begins[start] : begins[stop - 1] + lengths[stop - 1]].tobytes().decode()
        self._reserve(1, 0)
        n = int(self._filled[0])
        self._filled[0] += 1
        self._entries[n] = np.zeros((), ENTRY)
        nothing = np.zeros(1, np.uint8)
        self._show(n, [" ".join(self._tokeniser.words(text))], nothing, nothing, nothing)
        ids[start:stop], ids[start] = 0, n


class Tokeniser:
    """spaCy's tokeniser, and where its special cases can be found in sequences of tokens.

    `pairs`  # bool (256, 256): tokens of these numbers stand side by side in some special case
    """

    def __init__(self) -> None:
        import spacy

        self._language = spacy.blank("en")
        self._plain, cases = _without_matches(self._language)
        numbers = {token: i + 1 for i, token in enumerate(sorted({token for case in cases for token in case}))}
        self._cases = {tuple(numbers[token] for token in case) for case in cases}
        self._longest = max(map(len, self._cases))
        spans = {(case[i:j], i == 0, j == len(case)) for case in self._cases for i, j in _spans(len(case))}
        self._prefixes = {span for span, at_start, at_end in spans if at_start and not at_end}
        self._suffixes = {span for span, at_start, at_end in spans if at_end and not at_start}
        self._infixes = {span for span, at_start, at_end in spans if not at_start and not at_end}
        self._named, self._special = numbers, {*numbers, *self._language.tokenizer.rules}
        strings = self._language.vocab.strings
        self._orths, self._numbers = map(np.array, zip(*sorted((strings.add(t), n) for t, n in numbers.items())))
        self.pairs = np.zeros((256, 256), np.bool_)
        for case in self._cases:
            self.pairs[case[:-1], case[1:]] = True

    def words(self, text: str) -> list[str]:
        """Return the words of a text: its tokens but for those of white space."""
        with self._language.memory_zone():
            spans = [(t.idx, t.idx + len(t)) for t in self._language.tokenizer(text.replace(BROKEN, STAND_IN))]
        return [text[start:stop] for start, stop in spans if not text[start:stop].isspace()]

    def look_up(self, chunks: list[str]) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
        """Return what `tokenise` does, which is asked only about the chunks that are not SIMPLE."""
        shown, tails = [""] * len(chunks), np.zeros(len(chunks), np.uint8)
        heads, risks, hard = np.zeros_like(tails), np.zeros_like(tails), []
        for i, chunk in enumerate(chunks):
            simple = SIMPLE.fullmatch(chunk)
            if simple is None or not self._special.isdisjoint((chunk, simple[1])):
                hard.append(i)
                continue
            shown[i] = f"{simple[1]} {simple[2]}" if simple[2] else chunk
            tails[i] = self._named.get(simple[2], 0)
        if hard:
            words, heads[hard], tails[hard], risks[hard] = self.tokenise([chunks[i] for i in hard])
            for i, word in zip(hard, words, strict=True):
                shown[i] = word
        return shown, heads, tails, risks

    def tokenise(self, chunks: list[str]) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
        """Return for each chunk its words, a space between each two, and `head`, `tail` and `risk` of ENTRY."""
        text = "\n".join(chunks)  # no special case is found across lines
        with self._language.memory_zone():
            tokens = self._plain(text.replace(BROKEN, STAND_IN)).to_array(["ORTH", "IDX", "LENGTH"])
        sizes = np.array([len(chunk) for chunk in chunks])
        begins = np.cumsum(sizes + 1) - sizes - 1
        places = tokens[:, 1].astype(np.int64)
        owners = np.searchsorted(begins, places, "right") - 1
        inside = places < (begins + sizes)[owners]  # the others are the line feeds
        places, owners, numbers = places[inside], owners[inside], self._number(tokens[inside, 0])
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        cuts = places[places != begins[owners]]
        shown = np.insert(codes, cuts, ord(" ")).tobytes().decode("utf-32-le").split("\n")
        starts = np.searchsorted(owners, np.arange(len(chunks) + 1))
        risks = np.zeros(len(chunks), np.uint8)
        paired = self.pairs[numbers[:-1], numbers[1:]] & (owners[:-1] == owners[1:])
        for owner in np.unique(owners[:-1][paired]).tolist():
            found, risks[owner] = self._look(tuple(numbers[starts[owner] : starts[owner + 1]].tolist()))
            if found:
                shown[owner] = " ".join(self.words(chunks[owner]))
        return shown, numbers[starts[:-1]], numbers[starts[1:] - 1], risks

    def _number(self, orths: np.ndarray) -> np.ndarray:
        """Return the numbers of tokens, 0 for those of no special case."""
        places = np.minimum(np.searchsorted(self._orths, orths), len(self._orths) - 1)
        return np.where(self._orths[places] == orths, self._numbers[places], 0).astype(np.uint8)

    def _look(self, tokens: tuple[int, ...]) -> tuple[bool, int]:
        """Tell whether a special case is found among a chunk's tokens, and on which sides a longer one that
        reaches out of the chunk could overlap it."""
        size = len(tokens)
        places = [
            (i, i + length)
            for i in range(size)
            for length in range(2, min(self._longest, size - i) + 1)
            if tokens[i : i + length] in self._cases
        ]
        if not places:
            return False, 0
        start, stop = min(i for i, _ in places), max(j for _, j in places)
        reach = range(1, min(self._longest, size) + 1)
        head = any(tokens[:n] in self._suffixes for n in reach if n > start) or tokens in self._infixes
        tail = any(tokens[size - n :] in self._prefixes for n in reach if size - n < stop) or tokens in self._infixes
        return True, HEAD * head | TAIL * tail


def _spans(size: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(size) for j in range(i + 1, size + 1))


def _without_matches(language: Any) -> tuple[Any, list[list[str]]]:
    """Return the tokeniser of a spaCy language without its search for special cases in sequences of tokens, and
    the sequences that it searches for. Chunks that are a special case as a whole are known to it.

    A special case is searched for if its text has a prefix, suffix or infix; so none is as long as there are none.
    """
    from spacy.tokenizer import Tokenizer

    whole, loading = language.tokenizer, True

    def later(search: Callable[[str], Any], nothing: Any) -> Callable[[str], Any]:
        return lambda text: nothing if loading else search(text)

    affixes = {
        "prefix_search": later(whole.prefix_search, None),
        "suffix_search": later(whole.suffix_search, None),
        "infix_finditer": later(whole.infix_finditer, []),
        "token_match": whole.token_match,
        "url_match": whole.url_match,
    }
    plain, bare = Tokenizer(language.vocab, rules=whole.rules, **affixes), Tokenizer(language.vocab, **affixes)
    loading = False
    searched = [
        case
        for case in whole.rules
        if not case.isspace() and (whole.find_prefix(case) or whole.find_suffix(case) or whole.find_infix(case))
    ]
    sequences = [[token.text for token in bare(case)] for case in searched]
    return plain, [sequence for sequence in sequences if len(sequence) > 1]
