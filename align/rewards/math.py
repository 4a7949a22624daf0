r"""Answers to mathematical tasks, found in a completion and compared with the task's own (GSM8K, MATH)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from align.rewards.check import answer_of, each
from align.rewards.equality import clean, same
from align.rewards.expression import CONSTANTS, FUNCTIONS, Unreadable, read
from align.rewards.reward import Completion

PHRASE = re.compile(r"\banswer(?:\s+is\b|\s*:|\s*=)[\s*:]*", re.IGNORECASE)
NUMBER = re.compile(r"[-+−]?(?:(?<!\w)\$\s?)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?%?|[-+−]?\.\d+%?")
WORD = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{2,}")
BOXES = 16  # last \boxed of a text that are looked at, where later ones are not closed
LONGEST = 20_000  # characters of a completion that are looked at, its last ones


@dataclass(frozen=True)
class Math:
    r"""Reward the right answer: the completion's last `#### ...` or `\boxed{...}`, whichever is later.

    Without one, what follows the last "the answer is"; without that (unless `marked`) a text that is one expression,
    else its last number. The task's answer is found the same way where it is a solution, else it is its whole text;
    of a list of answers any is right. How they are compared: `equality.py`.
    """

    name: ClassVar[str] = "math"

    answer: str = "answer"  # field of the record
    right: float = 1.0
    wrong: float = 0.0
    marked: bool = False  # only ####, \boxed and "the answer is" are answers

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        return each(self.name, self._rate, completions)

    def _rate(self, completion: Completion) -> float:
        wanted = answer_of(self.name, completion, self.answer)
        found = extract(completion.text, self.marked)
        right = found is not None and any(same(found, one) for one in _answers(wanted))
        return self.right if right else self.wrong


def extract(text: str, marked: bool = False) -> str | None:
    """Return the final answer a solution gives, as it is written there; None where it gives none."""
    text = text[-LONGEST:]
    found = _last_mark(text)
    if found is None and (phrases := list(PHRASE.finditer(text))):
        found = _after_phrase(text[phrases[-1].end() :])
    if found is None and not marked:
        found = text.strip() if "\n" not in text.strip() and _is_expression(text) else _last_number(text)
    return found


def boxed(text: str) -> tuple[int, str] | None:
    r"""Return where the last closed \boxed{...} or \fbox{...} begins, and what is in it; braces may be nested."""
    at = len(text)
    for _ in range(BOXES):
        at = max(text.rfind("\\boxed", 0, at), text.rfind("\\fbox", 0, at))
        if at < 0:
            return None
        opened = re.match(r"\\(?:boxed|fbox)\s*", text[at : at + 40])
        begin = at + (opened.end() if opened else 0)
        if text[begin : begin + 1] != "{":
            bare = re.match(r"[^\s$.,]+", text[begin : begin + 40])  # \boxed 5
            if bare:
                return at, bare[0]
            continue
        depth = 0
        for end in range(begin, len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                return at, text[begin + 1 : end]
    return None


def _last_mark(text: str) -> str | None:
    box, hashes = boxed(text), text.rfind("####")
    if hashes >= 0 and (box is None or hashes > box[0]):
        line = text[hashes + 4 :].strip("# \t").partition("\n")[0].strip()
        if not (box and text.startswith("\\boxed", box[0]) and "\\boxed" in line):
            return line or None
    return box[1].strip() if box else None


def _after_phrase(rest: str) -> str | None:
    """Return the answer a sentence goes on with: formula between dollars, expression, else the last number in it."""
    sentence = re.split(r"(?<!\\)[.!?](?:\s|$)|\n", rest.lstrip(), maxsplit=1)[0].strip(" *\n")
    formula = re.match(r"\$+([^$]+)\$+|\\\((.+?)\\\)|\\\[(.+?)\\\]", sentence)
    if formula and not sentence[formula.end() :].strip(" .*"):
        return next(part for part in formula.groups() if part)
    if not sentence or _is_expression(sentence) or len(sentence.split()) == 1:
        return sentence or None
    return _last_number(sentence) or sentence


def _is_expression(text: str) -> bool:
    """Tell whether a text is mathematics alone: it has no word but names of functions."""
    if any(word.lower() not in FUNCTIONS | CONSTANTS for word in WORD.findall(text)):
        return False
    try:
        read(clean(text))
    except Unreadable:
        return False
    return True


def _last_number(text: str) -> str | None:
    found = NUMBER.findall(text)
    return found[-1] if found else None


def _answers(wanted: Any) -> list[str]:
    given = wanted if isinstance(wanted, list | tuple) else [wanted]
    return [_last_mark(str(one)) or str(one) for one in given]
