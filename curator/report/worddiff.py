"""Two texts side by side: where their words differ."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

WINDOW = 400  # words compared at a time; difflib's time grows with their square
WINDOWS = 8  # at most, and no more once CHANGED words differ
CHANGED = 200
CONTEXT = 12  # equal words shown next to a difference

Step = tuple[bool, list[str], list[str]]  # are they equal; words of the left text, and of the right


@dataclass(frozen=True)
class Run:
    """Words in a row: in both texts, in this one only, or left out."""

    kind: Literal["same", "only", "gap"]
    words: tuple[str, ...]
    count: int  # words it stands for


def compare(left: str, right: str) -> tuple[list[Run], list[Run]]:
    """Return what to show of both texts: the differences from the first one on, each with a few words around.

    Words are what `str.split` gives, so texts that differ in white space alone are all `same`. What is
    equal and far from any difference, and what was not compared any more, is counted as left out.
    """
    a, b = left.split(), right.split()
    sides: tuple[list[Run], list[Run]] = ([], [])
    steps = _steps(a, b)
    for position, (equal, *both) in enumerate(steps):
        for side, words in zip(sides, both, strict=True):
            if equal:
                side.extend(_shortened(words, position > 0, position < len(steps) - 1))
            else:
                side.append(Run("only", tuple(words), len(words)))
    for side, words in zip(sides, (a, b), strict=True):
        side.append(_gap(len(words) - sum(run.count for run in side)))
    return _merged(sides[0]), _merged(sides[1])


def _steps(a: list[str], b: list[str]) -> list[Step]:
    """Compare window after window: each begins where the texts differ again."""
    steps: list[Step] = []
    i = j = changed = 0
    for _ in range(WINDOWS):
        same = _common(a, b, i, j)
        _add(steps, True, a[i : i + same], b[j : j + same])
        i, j = i + same, j + same
        if changed >= CHANGED or (i == len(a) and j == len(b)):
            break
        window = (a[i : i + WINDOW], b[j : j + WINDOW])
        found = difflib.SequenceMatcher(None, *window, autojunk=False).get_opcodes()
        ends_early = i + WINDOW < len(a) or j + WINDOW < len(b)
        if ends_early and len(found) > 1 and found[-1][0] != "equal":
            found.pop()  # it may differ only because the windows end
        for tag, a1, a2, b1, b2 in found:
            _add(steps, tag == "equal", window[0][a1:a2], window[1][b1:b2])
            changed += 0 if tag == "equal" else max(a2 - a1, b2 - b1)
        i, j = i + found[-1][2], j + found[-1][4]
    return steps


def _common(a: list[str], b: list[str], i: int, j: int) -> int:
    """Return how many words from a[i] and b[j] on are equal."""
    most = min(len(a) - i, len(b) - j)
    return next((k for k in range(most) if a[i + k] != b[j + k]), most)


def _add(steps: list[Step], equal: bool, left: list[str], right: list[str]) -> None:
    if steps and steps[-1][0] == equal:
        steps[-1] = (equal, steps[-1][1] + left, steps[-1][2] + right)
    elif left or right:
        steps.append((equal, left, right))


def _merged(runs: list[Run]) -> list[Run]:
    """Leave out empty runs, and make one gap of gaps in a row."""
    merged: list[Run] = []
    for run in runs:
        if run.kind == "gap" and merged and merged[-1].kind == "gap":
            merged[-1] = _gap(merged[-1].count + run.count)
        elif run.count:
            merged.append(run)
    return merged


def _gap(count: int) -> Run:
    return Run("gap", (), count)


def _shortened(words: list[str], after: bool, before: bool) -> list[Run]:
    """Leave out the middle of a long row of equal words; `after`, `before`: a difference is next to it."""
    head, tail = (CONTEXT if after else 0), (CONTEXT if before else 0)
    if not after and not before:
        head = 4 * CONTEXT
    if len(words) <= head + tail + CONTEXT:
        return [Run("same", tuple(words), len(words))]
    shown = [words[:head], words[len(words) - tail :]]
    runs = [Run("same", tuple(piece), len(piece)) for piece in shown]
    return [runs[0], _gap(len(words) - head - tail), runs[1]]
