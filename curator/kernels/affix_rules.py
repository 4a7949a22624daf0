"""Read the regular expressions by which a tokeniser finds prefixes, suffixes and infixes into tables of rules.

Such an expression is a list of alternatives, each a few sets of characters in a row, maybe with one set more that
must stand before, or must or must not stand after them. The stdlib's own parser reads them, so the tables say what
the expressions say. What they cannot hold is an error, never another meaning.

A code point has a class, and a set of characters is a row of members by class: two that no set tells apart are one
class. A rule's alternatives inside it (units, currencies) are written out as rules of their own, in their order.
"""

from __future__ import annotations

import importlib
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from curator.errors import ModelError

CODES = 1 << 21  # every number that `decode` returns, whatever the bytes
# Places of atoms in a rule, written in a row for its form
ANCHORS = {"AT_BEGINNING": "^", "AT_END": "$"}
BEFORE, ONE, MANY, AFTER, NOT_AFTER = "bcman"
FORMS = r"\^(c+[an]?|c*m)", r"(b*c+|c*m)\$", "b*c+[an]?|c*m"  # of prefixes, suffixes, infixes
Set = tuple[tuple[int, int], ...]  # ranges of code points, both ends in it
Atom = tuple[str, Set]


class Rules(NamedTuple):
    """Rules of one kind, in order.

    shapes      # (rules, 4) int64: sets before, sets of the affix, whether the last may repeat, and whether one
                #   must (1) or must not (-1) follow
    sets        # (rules, most) int64: their numbers, those before first, the one after last
    candidates  # (classes + 1,) int64: where the rules of a class start in
    numbers     # int64: rules whose affix begins with the class (a suffix: ends), in order
    members     # bool (sets, classes)
    """

    shapes: np.ndarray
    sets: np.ndarray
    candidates: np.ndarray
    numbers: np.ndarray
    members: np.ndarray


@dataclass(frozen=True)
class Rule:
    """One alternative: sets of characters, and how many of them stand where."""

    sets: tuple[Set, ...]
    before: int = 0
    size: int = 1
    repeats: bool = False
    after: int = 0


def read_rules(patterns: Sequence[re.Pattern[str]], wanted: str) -> tuple[np.ndarray, list[Rules], int]:
    """Return the class of each code point (uint8), the rules of the patterns of prefixes, suffixes and infixes, and
    the class of `wanted`, a character that is alone in it. ModelError where a pattern holds more than rules can."""
    kinds = [
        [_rule(path, form) for path in _paths(_parse(pattern))] for pattern, form in zip(patterns, FORMS, strict=True)
    ]
    alone: Set = ((ord(wanted), ord(wanted)),)
    sets = sorted({alone, *(one for rules in kinds for rule in rules for one in rule.sets)})
    classes, members = _classes(sets)
    named = {one: number for number, one in enumerate(sets)}
    tables = [_table(rules, named, members, last=kind == 1) for kind, rules in enumerate(kinds)]
    return classes, tables, int(classes[ord(wanted)])


def needs(pattern: re.Pattern[str], character: str) -> bool:
    """Tell whether all that a pattern matches holds this character."""
    return _needs(_parse(pattern), ord(character))


def _parse(pattern: re.Pattern[str]) -> Any:
    if pattern.flags != re.UNICODE:
        raise _unreadable(f"flags {pattern.flags}")
    return importlib.import_module("re._parser").parse(pattern.pattern)


def _unreadable(what: str) -> ModelError:
    return ModelError(f"this spaCy's rules of affixes have {what}, which no table here can hold; install spacy 3.8")


def _needs(items: Iterable[Any], code: int) -> bool:
    for op, value in items:
        name = str(op)
        if name == "LITERAL" and value == code:
            return True
        if name == "SUBPATTERN" and _needs(value[3], code):
            return True
        if name == "BRANCH" and all(_needs(branch, code) for branch in value[1]):
            return True
        if name == "MAX_REPEAT" and value[0] > 0 and _needs(value[2], code):
            return True
    return False


def _paths(items: Iterable[Any]) -> list[list[Atom]]:
    """Return the sequences of atoms that a parsed pattern stands for, the preferred ones first."""
    choices = [_choices(str(op), value) for op, value in items]
    return [list(itertools.chain.from_iterable(path)) for path in itertools.product(*choices)]


def _choices(name: str, value: Any) -> list[list[Atom]]:
    if name == "AT" and str(value) in ANCHORS:
        return [[(ANCHORS[str(value)], ())]]
    if name == "LITERAL":
        return [[(ONE, ((value, value),))]]
    if name == "IN":
        return [[(ONE, _ranges(value))]]
    if name == "SUBPATTERN" and not (value[1] or value[2]):
        return _paths(value[3])
    if name == "BRANCH":
        return [path for branch in value[1] for path in _paths(branch)]
    if name == "ASSERT":
        return [[(BEFORE if value[0] < 0 else AFTER, one) for _, one in path] for path in _paths(value[1])]
    if name == "ASSERT_NOT" and value[0] > 0 and len(paths := _paths(value[1])) == 1:
        return [[(NOT_AFTER, one) for _, one in paths[0]]]
    if name == "MAX_REPEAT" and value[0] == 1 and str(value[1]) == "MAXREPEAT" and len(value[2]) == 1:
        return [[(MANY if place == ONE else place * 2, one) for place, one in path] for path in _paths(value[2])]
    raise _unreadable(f"{name.lower()} {value!r:.80}")


def _ranges(items: Iterable[Any]) -> Set:
    found = []
    for op, value in items:
        if str(op) not in ("LITERAL", "RANGE"):
            raise _unreadable(f"a set with {str(op).lower()}")
        found.append((value, value) if str(op) == "LITERAL" else value)
    return tuple(found)


def _rule(path: list[Atom], form: str) -> Rule:
    """Return the rule of one sequence of atoms; ModelError where it is not of this form."""
    places = "".join(place for place, _ in path)
    sets = tuple(one for _, one in path if one)
    before, repeats = places.count(BEFORE), MANY in places
    if not re.fullmatch(form, places) or (repeats and len({*sets}) > 1):
        raise _unreadable(f"one like {places}")
    return Rule(sets, before, places.count(ONE) + repeats, repeats, (AFTER in places) - (NOT_AFTER in places))


def _classes(sets: list[Set]) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of each code point, and which classes each set holds."""
    edges = np.array(sorted({0, *(edge for one in sets for low, high in one for edge in (low, high + 1))}))
    holds = np.zeros((len(sets), len(edges)), np.bool_)  # by stretch between two edges
    for row, one in zip(holds, sets, strict=True):
        for low, high in one:
            row[np.searchsorted(edges, low) : np.searchsorted(edges, high + 1)] = True
    members, of_stretch = np.unique(holds, axis=1, return_inverse=True)
    if members.shape[1] > 256:
        raise _unreadable(f"{members.shape[1]} classes of characters")
    return np.repeat(of_stretch.astype(np.uint8), np.diff(edges, append=CODES)), members


def _table(rules: list[Rule], named: dict[Set, int], members: np.ndarray, last: bool) -> Rules:
    shapes = np.array([(rule.before, rule.size, rule.repeats, rule.after) for rule in rules])
    sets = np.zeros((len(rules), max(len(rule.sets) for rule in rules)), np.int64)
    for row, rule in zip(sets, rules, strict=True):
        row[: len(rule.sets)] = [named[one] for one in rule.sets]
    keys = sets[np.arange(len(rules)), shapes[:, 0] + (shapes[:, 1] - 1 if last else 0)]
    numbers = [np.flatnonzero(members[keys, kind]) for kind in range(members.shape[1])]
    candidates = np.cumsum([0, *map(len, numbers)])
    return Rules(shapes, sets, candidates, np.concatenate(numbers), members)
