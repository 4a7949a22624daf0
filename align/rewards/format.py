"""The form of a completion: a pattern it holds, tags in order, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from align.errors import AlignSettingsError
from align.rewards.check import each
from align.rewards.linear import LinearPattern
from align.rewards.reward import Completion

BLOCK = re.compile(r"```[ \t]*json[ \t]*\n(.*?)```", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Format:
    """Reward a form: the share of the rules given below that a completion keeps; with `all_or_nothing` 1 or 0.

    Raises AlignSettingsError where no rule is given, or the pattern is none that linear time can search (`linear.py`).
    """

    name: ClassVar[str] = "format"

    pattern: str = ""  # regular expression found in the text; ^ and $ are the ends of the text, . is any character
    tags: tuple[str, ...] = ()  # think, answer: <think>...</think><answer>...</answer>, each once, nothing outside
    json: bool = False  # the text, or its last ```json block, is JSON
    keys: tuple[str, ...] = ()  # of the JSON object, which may have others
    finished: bool = False  # it ended by itself, not by the limit of tokens
    all_or_nothing: bool = True

    def __post_init__(self) -> None:
        if not list(self._rules()):
            raise AlignSettingsError("reward format has no rule: give pattern, tags, json, keys or finished")
        if bad := [tag for tag in self.tags if not re.fullmatch(r"[\w.:-]+", tag)]:
            raise AlignSettingsError(f"tags are names without brackets, such as think; given: {', '.join(bad)}")

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        return each(self.name, self._rate, completions)

    def _rate(self, completion: Completion) -> float:
        kept = [rule(completion) for rule in self._rules()]
        return float(all(kept)) if self.all_or_nothing else sum(kept) / len(kept)

    def _rules(self) -> Iterator[Callable[[Completion], bool]]:
        if self.pattern:
            search = self._searched.search
            yield lambda completion: search(completion.text)
        if self.tags:
            yield lambda completion: has_tags(completion.text, self.tags)
        if self.json or self.keys:
            yield lambda completion: is_json(completion.text, self.keys)
        if self.finished:
            yield lambda completion: completion.finished

    @cached_property
    def _searched(self) -> LinearPattern:
        return LinearPattern(self.pattern)


def has_tags(text: str, tags: Sequence[str]) -> bool:
    """Tell whether a text is these tags in this order, each opened and closed once, with only space around them."""
    at = 0
    for mark in (mark for tag in tags for mark in (f"<{tag}>", f"</{tag}>")):
        found = text.find(mark, at)
        if found < 0 or text.count(mark) != 1 or (not mark.startswith("</") and text[at:found].strip()):
            return False
        at = found + len(mark)
    return not text[at:].strip()


def is_json(text: str, keys: Sequence[str]) -> bool:
    """Tell whether a text, or its last ```json block, is JSON; an object with these keys where any are asked for."""
    blocks = BLOCK.findall(text)
    try:
        found: Any = json.loads(blocks[-1] if blocks else text)
    except (ValueError, RecursionError):
        return False
    return not keys or (isinstance(found, dict) and set(keys) <= set(found))
