"""Text from tokens as they come, in whole characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

HALF = "\ufffd"
HELD = 3  # bytes of a character's begin, at most; each is shown as one U+FFFD by some decoders
LONG = 48  # tokens after which a window is cut even where its end is no whole character


class Detokenizer:
    """Gives text whose pieces joined are the text of all tokens; the last characters wait while they may be halves.

    Tokens are decoded in a window that begins with the tokens of the piece before, since some decoders treat the first
    token of a text in another way. Cost: one decoding of a few tokens a step.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._window: list[int] = []  # tokens of the piece before, then those of the open piece
        self._before = 0  # tokens of the piece before
        self._told = ""  # of the window's text, what was given

    def add(self, tokens: Sequence[int]) -> str:
        """Take tokens and return the text that is certain by now."""
        self._window.extend(tokens)
        text = self._decode(self._window)
        end = len(text)
        while end > max(len(text) - HELD, 0) and text[end - 1] == HALF:
            end -= 1
        piece = self._since(text[:end])
        if end == len(text):
            self._close()
        elif len(self._window) - self._before > LONG:
            self._cut(text)
        return piece

    def end(self) -> str:
        """Return what waits still."""
        return self._since(self._decode(self._window)) if self._window else ""

    def _since(self, text: str) -> str:
        """Return what is new of the window's text."""
        if len(text) <= len(self._told):
            return ""
        if not text.startswith(self._told):  # bytes that were a character are none, now that more came
            kept = len(self._told)
            self._told = text
            return text[kept:]
        piece, self._told = text[len(self._told) :], text
        return piece

    def _close(self) -> None:
        """Begin a new piece after a whole character."""
        self._window = self._window[self._before :] or self._window
        self._before = len(self._window)
        self._told = self._decode(self._window)

    def _cut(self, text: str) -> None:
        """Shorten a window of tokens that make no characters, where that changes no text."""
        head, tail = self._window[:-8], self._window[-8:]
        begin = self._decode(head)
        if begin + self._decode(tail) == text and len(begin) <= len(self._told):
            self._told = self._told[len(begin) :]
            self._window, self._before = tail, 0
