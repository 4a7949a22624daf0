"""Stop strings in text that comes in pieces."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Lets text through up to the first stop string that is whole, and keeps back what may be the begin of one.

    Of those that end at the same character the longest counts. Cost: a few steps a character and stop string, whatever
    the text, the strings and the pieces are.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self.strings, self._held = tuple(strings), ""
        self._matchers = [_Matcher(one) for one in dict.fromkeys(sorted(strings, key=len, reverse=True))]
        self.found = ""  # the stop string that came

    def add(self, piece: str) -> str:
        """Take a piece and return what can be sent; after a stop string nothing more."""
        if self.found:
            return ""
        if not self._matchers:
            return piece
        text = self._held + piece
        for at, character in enumerate(piece, len(self._held) + 1):
            # All are stepped before one is chosen, so that each stands where the text does.
            if whole := [one for one in self._matchers if one.step(character)]:
                self.found, self._held = whole[0].string, ""
                return text[: at - len(self.found)]
        kept = max(one.matched for one in self._matchers)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def end(self) -> str:
        """Return what was kept back, where no stop string came of it."""
        text, self._held = self._held, ""
        return text


class _Matcher:
    """How much of one string the text ends with (Knuth, Morris and Pratt 1977).

    The table of borders grows with what was matched, so that a string costs nothing before it begins to come.
    """

    def __init__(self, string: str) -> None:
        self.string, self.matched = string, 0
        self._borders = [0]  # for each begin of the string: its longest proper begin that is its end too

    def step(self, character: str) -> bool:
        """Take a character; tell whether the string is whole now."""
        string, borders = self.string, self._borders
        while self.matched and string[self.matched] != character:
            self.matched = borders[self.matched - 1]
        if string[self.matched] == character:
            self.matched += 1
        if self.matched > len(borders):
            border = borders[-1]
            while border and string[border] != character:
                border = borders[border - 1]
            borders.append(border + (string[border] == character))
        return self.matched == len(string)
