r"""Search text for a regular expression in time linear in its length, whatever the expression.

A set of states walks over the text (Thompson 1968), its moves remembered as they are met. What needs memory of the
text (back references) or looks aside (lookaheads, lookbehinds, atomic groups) is refused. `.` matches line ends too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from align.errors import AlignSettingsError

LARGEST = 5000  # states: {1,1000} of something makes a thousand of it
REMEMBERED = 20_000  # moves
START, END, LAST_LINE, BEFORE, AFTER = 1, 2, 4, 8, 16  # where a position is: what ^ $ \b ask
Test = Callable[[str], bool]
CATEGORIES: dict[str, Test] = {
    "DIGIT": str.isdecimal, "SPACE": str.isspace, "WORD": lambda c: c.isalnum() or c == "_",
    "LINEBREAK": lambda c: c == "\n",
}  # fmt: skip
PLACES: dict[str, Callable[[int], bool]] = {
    "AT_BEGINNING": lambda at: bool(at & START), "AT_BEGINNING_STRING": lambda at: bool(at & START),
    "AT_END": lambda at: bool(at & (END | LAST_LINE)), "AT_END_STRING": lambda at: bool(at & END),
    "AT_BOUNDARY": lambda at: bool(at & BEFORE) != bool(at & AFTER),
    "AT_NON_BOUNDARY": lambda at: bool(at & BEFORE) == bool(at & AFTER),
}  # fmt: skip


class LinearPattern:
    """A compiled expression. Raises AlignSettingsError where it is none, or needs more than linear time."""

    def __init__(self, pattern: str):
        from re import _parser  # type: ignore[attr-defined]

        self.pattern = pattern
        try:
            tree = _parser.parse(pattern, re.DOTALL)
        except (re.error, RecursionError, OverflowError) as error:
            raise AlignSettingsError(f"{pattern!r} is no regular expression: {error}") from None
        if tree.state.flags & re.MULTILINE:
            raise AlignSettingsError(f"{pattern!r} sets (?m): here ^ and $ are the ends of the whole text")
        self._fold = bool(tree.state.flags & re.IGNORECASE)
        self._code: list[tuple[str, Any, int, int]] = []  # what, its test, where it goes on, or else
        self._emit(tree)
        self._add("match", None)
        self._moves: dict[tuple[frozenset[int], int, str], tuple[frozenset[int], bool]] = {}

    def search(self, text: str) -> bool:
        """Tell whether the expression matches somewhere in the text."""
        states: frozenset[int] = frozenset()
        end, folded = len(text), text.lower() if self._fold else text
        if len(folded) != end:  # a few letters change their length
            folded = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
        before = False
        for at, char in enumerate(folded):
            word = CATEGORIES["WORD"](char)
            place = (START if at == 0 else 0) | (LAST_LINE if at == end - 1 and char == "\n" else 0)
            place |= (BEFORE if before else 0) | (AFTER if word else 0)
            states, matched = self._move(states, place, char)
            if matched:
                return True
            before = word
        _, matched = self._closed(states, END | (START if end == 0 else 0) | (BEFORE if before else 0))
        return matched

    def _move(self, states: frozenset[int], place: int, char: str) -> tuple[frozenset[int], bool]:
        key = (states, place, char)
        if key not in self._moves:
            if len(self._moves) >= REMEMBERED:
                self._moves.clear()
            closed, matched = self._closed(states, place)
            self._moves[key] = (frozenset(self._code[s][2] for s in closed if self._code[s][1](char)), matched)
        return self._moves[key]

    def _closed(self, states: frozenset[int], place: int) -> tuple[set[int], bool]:
        """Return the states that wait for a character here, a new start included; and whether a match ends here."""
        waiting, seen, left = set(), set(), [0, *states]
        while left:
            state = left.pop()
            if state in seen:
                continue
            seen.add(state)
            what, test, then, other = self._code[state]
            if what == "match":
                return set(), True
            if what == "char":
                waiting.add(state)
            elif what == "split":
                left += [then, other]
            elif test(place):
                left.append(then)
        return waiting, False

    def _add(self, what: str, test: Any) -> int:
        if len(self._code) >= LARGEST:
            raise AlignSettingsError(f"{self.pattern!r} is too large: its repeats make more than {LARGEST} states")
        self._code.append((what, test, len(self._code) + 1, -1))
        return len(self._code) - 1

    def _point(self, state: int, then: int, other: int = -1) -> None:
        what, test, _, _ = self._code[state]
        self._code[state] = (what, test, then, other)

    def _emit(self, tree: Any) -> None:
        for operation, given in tree:
            name = str(operation)
            if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
                self._add("char", self._test(name, given))
            elif name == "AT" and str(given) in PLACES:
                self._add("place", PLACES[str(given)])
            elif name == "SUBPATTERN":
                _, add, drop, inner = given
                if add or drop:
                    raise AlignSettingsError(f"{self.pattern!r} changes its flags in the middle")
                self._emit(inner)
            elif name == "BRANCH":
                self._branch(given[1])
            elif name in ("MAX_REPEAT", "MIN_REPEAT"):
                self._repeat(*given)
            else:
                said = name.lower().replace("_", " ")
                raise AlignSettingsError(f"{self.pattern!r} has a part ({said}) that takes more than linear time")

    def _branch(self, ways: Any) -> None:
        ends = []
        for way in ways[:-1]:
            split = self._add("split", None)
            self._emit(way)
            ends.append(self._add("split", None))
            self._point(split, split + 1, len(self._code))
        self._emit(ways[-1])
        for end in ends:
            self._point(end, len(self._code), len(self._code))

    def _repeat(self, least: int, most: Any, inner: Any) -> None:
        for _ in range(least):
            self._emit(inner)
        if str(most) == "MAXREPEAT":
            split = self._add("split", None)
            self._emit(inner)
            back = self._add("split", None)
            self._point(back, split, split)
            self._point(split, split + 1, len(self._code))
            return
        splits = []
        for _ in range(most - least):
            splits.append(self._add("split", None))
            self._emit(inner)
        for split in splits:
            self._point(split, split + 1, len(self._code))

    def _test(self, name: str, given: Any) -> Test:
        if name == "ANY":
            return lambda char: True
        if name == "IN":
            return self._class(given)
        wanted = self._char(given)
        return (lambda char: char == wanted) if name == "LITERAL" else (lambda char: char != wanted)

    def _class(self, parts: Any) -> Test:
        tests: list[Test] = []
        negated = False
        for operation, given in parts:
            name = str(operation)
            if name == "NEGATE":
                negated = True
            elif name == "RANGE":
                tests.append(self._range(*given))
            elif name == "CATEGORY":
                tests.append(_category(str(given)))
            else:
                tests.append(self._test(name, given))
        return lambda char: any(test(char) for test in tests) != negated

    def _range(self, low: int, high: int) -> Test:
        if self._fold:  # text is lower case here
            return lambda char: low <= ord(char) <= high or low <= ord(char.upper()[0]) <= high
        return lambda char: low <= ord(char) <= high

    def _char(self, number: int) -> str:
        lower = chr(number).lower()
        return lower if self._fold and len(lower) == 1 else chr(number)


def _category(name: str) -> Test:
    kind = name.removeprefix("CATEGORY_")
    test = CATEGORIES[kind.removeprefix("NOT_")]
    return (lambda char: not test(char)) if kind.startswith("NOT_") else test
