"""Stop strings in text that comes in pieces."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Lets text through up to the first stop string, and keeps back what may be the begin of one."""

    def __init__(self, strings: Sequence[str]) -> None:
        self.strings, self._held = tuple(strings), ""
        self.found = ""  # the stop string that came

    def add(self, piece: str) -> str:
        """Take a piece and return what can be sent; after a stop string nothing more."""
        if self.found:
            return ""
        text = self._held + piece
        at = {string: text.find(string) for string in self.strings}
        hits = [(place, -len(string), string) for string, place in at.items() if place >= 0]
        if hits:
            place, _, self.found = min(hits)
            self._held = ""
            return text[:place]
        kept = max((_overlap(text, string) for string in self.strings), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def end(self) -> str:
        """Return what was kept back, where no stop string came of it."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, string: str) -> int:
    """Return the longest end of a text that begins the string, in characters; less than the whole string."""
    for length in range(min(len(text), len(string) - 1), 0, -1):
        if text.endswith(string[:length]):
            return length
    return 0
