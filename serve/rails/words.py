"""A list of words and phrases that are not to pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from millrace import storage
from millrace.errors import StorageError
from serve.errors import ServeSettingsError
from serve.rails.folding import tokens
from serve.rails.rail import Action, Message, Side, Verdict

MOST_TOKENS = 32  # of an entry; ours: what bounds the time of a search
END = ""  # no token is empty


@dataclass(frozen=True)
class Words:
    """Find entries of lists as whole words, whatever their case, width and invisible characters.

    `files` are UTF-8 with an entry a line, a word or a phrase; blank lines are none. What counts as a word and what is
    folded says serve.rails.folding: an entry `bad` is found in "Bad!" and in "ｂａ\u200bｄ", not in "badly"; in scripts
    without spaces between words an entry is found anywhere; punctuation of an entry must be there (`c++`).
    Of entries that overlap the leftmost is found, of those the longest.

    Cost: time in proportion to the text, whatever the list: 0.6 s of one core a million characters of English
    (benchmarks/results/rails_cost.md), more in other scripts.
    """

    kind: ClassVar[str] = "words"
    actions: ClassVar[tuple[Action, ...]] = ("refuse", "redact", "flag")

    files: tuple[str, ...] = ()
    words: tuple[str, ...] = ()  # besides those of files
    replacement: str = "[removed]"

    def __post_init__(self) -> None:
        if not self.files and not self.words:
            raise ServeSettingsError("words needs files or words; there would be nothing to find")

    def prepare(self) -> None:
        """Read the lists. Raises ServeSettingsError naming file and line."""
        _ = self._entries

    def check(self, text: str, side: Side, before: Sequence[Message]) -> Verdict:
        """Find the entries in a text."""
        pieces, end, found = [], 0, 0
        for start, stop in self._found(text):
            pieces += [text[end:start], self.replacement]
            end, found = stop, found + 1
        if not found:
            return Verdict(True, text)
        return Verdict(False, "".join([*pieces, text[end:]]), f"{found} of its words", found)

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where entries begin and end, apart and in order."""
        given, at = list(tokens(text)), 0
        while at < len(given):
            node, here, last = self._entries.get(given[at][0]), at + 1, 0
            while node is not None:
                last = here if END in node else last
                node = node.get(given[here][0]) if here < len(given) else None
                here += 1
            if last:
                yield given[at][1], given[last - 1][2]
            at = last or at + 1

    @cached_property
    def _entries(self) -> dict[str, Any]:
        """Return the entries as a tree of tokens; END stands where an entry ends."""
        tree: dict[str, Any] = {}
        alone: dict[str, Any] = {END: None}  # shared by the entries of one token that begin no other
        for place, entry in self._lines():
            parts = [token for token, _, _ in tokens(entry)]
            if not 1 <= len(parts) <= MOST_TOKENS:
                raise ServeSettingsError(f"{place}: an entry has 1 to {MOST_TOKENS} words; this one has {len(parts)}")
            *first, last = parts
            node = tree
            for part in first:
                if node.get(part, alone) is alone:
                    node[part] = dict(node.get(part, {}))
                node = node[part]
            if last not in node:
                node[last] = alone
            elif node[last] is not alone:
                node[last][END] = None
        return tree

    def _lines(self) -> Iterator[tuple[str, str]]:
        """Yield where each entry stands, and the entry."""
        yield from ((f"words[{number}]", entry) for number, entry in enumerate(self.words))
        for url in self.files:
            there = False
            try:
                content = storage.read_bytes(url)
            except StorageError as error:
                raise ServeSettingsError(f"words.files: {error}") from None
            for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
                try:
                    entry = line.decode().strip()
                except UnicodeDecodeError:
                    raise ServeSettingsError(f"words.files: {url}:{number} is no UTF-8") from None
                if entry:
                    there = True
                    yield f"{url}:{number}", entry
            if not there:
                raise ServeSettingsError(f"words.files: {url} has no entries; expected one a line")
