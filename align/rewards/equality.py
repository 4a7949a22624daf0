r"""Whether two answers are the same: as text, as numbers, as sets, intervals and equations, or at seeded points.

Rational numbers are compared exactly. A decimal with at least ROUNDED places also equals what rounds to it. What is
left (roots, variables, functions) is compared at POINTS seeded values of its variables, some negative, in complex
arithmetic, to a relative TOLERANCE. Every step is bounded: `evaluation.py`.
Units, degrees and currency after a number are no part of it; 50% is 50, or 0.5.
"""

from __future__ import annotations

import cmath
import itertools
import random
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from align.rewards.evaluation import evaluate, names
from align.rewards.expression import CONSTANTS, FUNCTIONS, GREEK, MOST, Tree, Unreadable, negative, read

ROUNDED, POINTS, NEEDED, TOLERANCE = 6, 8, 4, 1e-9
FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}

DROPPED = re.compile(
    r"\\left(?![a-z])|\\right(?![a-z])|\\[bB]igg?[lr]?(?![a-z])|\\displaystyle|\\limits|\\(?:,|!|;|:|quad|qquad)"
    r"|(?<!\\)\$|\\\$|\\\(|\\\)|\\\[|\\\]|[£€¥]"
)
THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
TEXT = re.compile(
    r"\\(?:text|textrm|textbf|textit|mbox|mathrm|mathbf|mathit|mathsf|operatorname|boldsymbol)\s*\{([^{}]*)\}"
)
MATRIX = re.compile(r"\\begin\{[pbvB]?matrix\}([^&]{0,500}(?:&[^&]{0,500}){0,100})\\end\{[pbvB]?matrix\}")
DEGREES = re.compile(r"\^\s*(?:\{\s*(?:\\circ|°)\s*\}|\\circ(?![a-z]))|\\degree(?![a-z])")
REPEATING = re.compile(r"(\d{0,30})\.(\d{0,30})\\overline\{(\d{1,30})\}")
RAISED, LOWERED = re.compile("[⁰¹²³⁴-⁹]+"), str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
VULGAR = str.maketrans({"½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}",
                        "¾": r"\frac{3}{4}"})  # fmt: skip
WORDS = re.compile(r"[^\W\d][\w\s'’,-]*")
UNITS = {"m", "g", "s", "h", "l", "L", "J", "N", "W", "V", "K", "C", "F", "A", "t", "b", "km", "cm", "mm", "kg", "mg",
         "ml", "mL", "mph", "ft", "lb", "lbs", "hr", "hrs", "min", "mins", "sec", "secs"}  # fmt: skip


def same(given: str, answer: str) -> bool:
    """Tell whether `given` says what `answer` says. Raises nothing; costs about 0.1 ms, and never over a second."""
    first, second = clean(given), clean(answer)
    if _squeezed(first) == _squeezed(second):
        return bool(first)
    if max(len(first), len(second)) > MOST:
        return False
    return any(itertools.starmap(equal, itertools.product(_readings(first), _readings(second))))


def clean(said: str) -> str:
    """Return an answer without what means nothing: spacing, dollars, \\text, thousands separators, a last full stop."""
    said = said[: 4 * MOST].strip().replace("{,}", ",").replace("\u2009", " ").replace("\u00a0", " ")
    said = re.sub(r"(?<=\d)(?:,\\!|\\[,!;:]) ?(?=\d{3})", "", said)  # 1\,000
    said = RAISED.sub(lambda found: f"^{{{found[0].translate(LOWERED)}}}", said)  # x²
    said = said.translate(VULGAR)
    said = REPEATING.sub(_fraction, DEGREES.sub("°", said))
    said = MATRIX.sub(_rows, said)
    said = DROPPED.sub(" ", said).replace("\\ ", " ")
    for _ in range(3):  # nested
        said = TEXT.sub(r" \1 ", said)
    return said.replace("\\%", "%").replace("~", " ").strip().rstrip(" .,;:")


def _fraction(repeating: re.Match[str]) -> str:
    """Return 0.1\\overline{6} as a fraction."""
    whole, places, period = repeating.groups()
    above = int(f"{whole}{places}{period}") - int(f"{whole}{places}" or "0")
    return rf"\frac{{{above}}}{{{10 ** len(places) * (10 ** len(period) - 1)}}}"


def _rows(matrix: re.Match[str]) -> str:
    rows = [",".join(f"({cell})" for cell in row.split("&")) for row in matrix[1].split("\\\\") if row.strip()]
    return f"({','.join(f'({row})' for row in rows)})"


def _squeezed(said: str) -> str:
    plain = re.sub(r"(?<![\w.])\s+|\s+(?![\w.])", "", said.replace("dfrac", "frac").replace("tfrac", "frac"))
    return plain.lower() if (plain.isalpha() and len(plain) > 1) or ":" in plain else plain  # Yes, 7:30 PM


@lru_cache(4096)
def _readings(said: str) -> tuple[Tree, ...]:
    """Return the trees that a cleaned answer may mean: a percentage two; a number with its unit, and without."""
    if not re.search(r"[(\[]|\\\{", said):  # (1,234) is a pair
        said = THOUSANDS.sub(lambda found: found[0].replace(",", ""), said)
    found = []
    for one in dict.fromkeys([said, without_unit(said)]):
        try:
            found.append(read(one))
        except Unreadable:
            continue
    if found and said.endswith("%"):
        found.append(("call", "/", (found[0], ("num", Fraction(100), None))))
    if not found and WORDS.fullmatch(said):
        return (("word", " ".join(re.split(r"[\s,]+", said.lower()))),)
    return tuple(found)


def without_unit(said: str) -> str:
    """Return what stands before a unit: 5 of `5 cm^2`, `5 square miles`, `5km/h`; all of `5 x` and `5pi`."""
    body = re.sub(r"(?<=[a-z])\s*\^\{?[23]\}?$", "", said)
    number = body.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ /'°µμ-.")
    if not number or number[-1] not in "0123456789)}]%" or ":" in number:  # 7:30 PM
        return said
    unit = body[len(number) :]
    words = re.findall(r"[A-Za-zµμ]+", unit)
    spaced = unit[:1] in " °"
    known = all(word in UNITS or (len(word) > (1 if spaced else 3) and _is_word(word)) for word in words)
    return number if words and known else said


def _is_word(word: str) -> bool:
    return word.lower() not in FUNCTIONS | CONSTANTS and word not in GREEK | {"and", "or"}


def equal(first: Tree, second: Tree) -> bool:
    """Tell whether two trees mean the same."""
    if first == second or (first[0] == second[0] == "rel" and _same_relation(first, second)):
        return True
    first, second = _normal(first), _normal(second)
    if first == second:
        return True
    if "rel" in (first[0], second[0]):
        return _same_relation(first, second)
    if "list" in (first[0], second[0]):
        return first[0] == second[0] and _same_list(first, second)
    if "word" in (first[0], second[0]):
        return False
    return _same_value(first, second)


def _normal(tree: Tree) -> Tree:
    """Return a tree in which 1 ± 2 is the list of both, and an inequality of one variable is its interval."""
    if tree[0] == "call" and tree[1] == "pm":
        left, right = tree[2]
        return ("list", ",", (("call", "+", (left, right)), ("call", "-", (left, right))))
    if tree[0] == "rel" and tree[1] == ("in",):
        return _normal(tree[2][1])
    if tree[0] == "rel":
        return _interval(tree) or tree
    if tree[0] == "list" and tree[1] in (",", "{}"):
        flat: list[Tree] = []
        unknowns = {one[2][0] if one[0] == "rel" else None for one in tree[2]}
        for item in (_value(_normal(one)) if len(unknowns) == 1 else _normal(one) for one in tree[2]):
            flat += item[2] if item[0] == "list" and item[1] == "," else (item,)
        if len(flat) == 1:
            return flat[0]
        pairs = all(one[0] == "list" and one[1] in ("()", "[]", "(]", "[)") and len(one[2]) == 2 for one in flat)
        return ("list", "U" if pairs and flat else tree[1], tuple(flat))  # x < 1 or x > 2
    return tree


def _value(tree: Tree) -> Tree:
    """Return 3 of x = 3, 2x of f(x) = 2x, and 5 of 2 + 3 = 5."""
    if tree[0] != "rel" or tree[1] != ("=",):
        return tree
    left, right = tree[2]
    plain = left[0] == "var" or (left[:2] == ("call", "*") and all(one[0] == "var" for one in left[2]))
    plain = plain or (not names(tree) and equal(left, right))
    return _normal(right) if plain else tree


def _interval(tree: Tree) -> Tree | None:
    signs, sides = tree[1], tree[2]
    if len(signs) == 1 and signs[0] in ("<", "<=", ">", ">="):
        left, right = sides
        if right[0] == "var" and left[0] != "var":
            left, right, signs = right, left, (FLIPPED[signs[0]],)
        if left[0] != "var" or names(right):
            return None
        infinite: Tree = ("call", "inf", ())
        if signs[0] in ("<", "<="):
            return ("list", "(]" if signs[0] == "<=" else "()", (negative(infinite), right))
        return ("list", "[)" if signs[0] == ">=" else "()", (right, infinite))
    if len(signs) == 2 and sides[1][0] == "var" and not names(sides[0]) | names(sides[2]):
        if set(signs) <= {">", ">="}:
            signs, sides = tuple(FLIPPED[sign] for sign in reversed(signs)), tuple(reversed(sides))
        if set(signs) <= {"<", "<="}:
            return ("list", "[("[signs[0] == "<"] + "])"[signs[1] == "<"], (sides[0], sides[2]))
    return None


def _same_relation(first: Tree, second: Tree) -> bool:
    if first[0] != "rel" or second[0] != "rel":
        related, other = (first, second) if first[0] == "rel" else (second, first)
        bare = _value(related)
        return bare[0] != "rel" and equal(bare, other)
    if len(first[1]) != 1 or len(second[1]) != 1:
        return first[1] == second[1] and all(equal(a, b) for a, b in zip(first[2], second[2]))
    if first[1] == second[1] == ("=",) and any(side[0] == "list" for side in (*first[2], *second[2])):
        return all(equal(a, b) for a, b in zip(first[2], second[2]))
    kinds = {first[1][0], second[1][0]}
    differences = [("call", "-", tree[2]) for tree in (first, second)]
    if len(kinds) == 1 and _proportional(differences[0], differences[1], kinds <= {"<", "<=", ">", ">="}):
        return True
    flipped = FLIPPED.get(first[1][0]) == second[1][0] and first[1][0] in ("<", "<=", ">", ">=")
    return flipped and _proportional(differences[0], negative(differences[1]), True)


def _same_list(first: Tree, second: Tree) -> bool:
    loose = (",", "{}", "U")
    if first[1] in loose and second[1] in loose:
        return ("U" in (first[1], second[1])) <= (first[1] == second[1]) and _matched(first[2], second[2])
    return first[1] == second[1] and len(first[2]) == len(second[2]) and all(map(equal, first[2], second[2]))


def _matched(first: Sequence[Tree], second: Sequence[Tree]) -> bool:
    """Tell whether items can be paired, in whatever order. Equality is transitive but for rounding: greedy does."""
    if len(first) != len(second):
        return False
    left = list(second)
    for item in first:
        partner = next((one for one in left if equal(item, one)), None)
        if partner is None:
            return False
        left.remove(partner)
    return True


def _same_value(first: Tree, second: Tree) -> bool:
    known = sorted(names(first) | names(second))
    if not known:
        return _close(first, second, {})
    verdicts = [_at(first, second, point) for point in _points(known)]
    return verdicts.count(True) >= NEEDED and False not in verdicts


def _proportional(first: Tree, second: Tree, positive: bool) -> bool:
    """Tell whether first = c * second for one number c that is not 0, above 0 where `positive`."""
    known = sorted(names(first) | names(second))
    ratios = []
    for point in _points(known):
        try:
            one, two = (complex(evaluate(tree, point)) for tree in (first, second))
        except (ArithmeticError, ValueError):
            continue
        if abs(two) < 1e-12 or abs(one) < 1e-12:
            if abs(two - one) > 1e-12:
                return False
            continue
        ratios.append(one / two)
    if len(ratios) < (NEEDED if known else 1):
        return False
    level = all(abs(ratio - ratios[0]) <= 1e-7 * abs(ratios[0]) for ratio in ratios)
    return level and (not positive or (ratios[0].real > 0 and abs(ratios[0].imag) < 1e-9))


@lru_cache(256)
def _seeded(known: tuple[str, ...]) -> tuple[dict[str, Fraction], ...]:
    rng = random.Random("|".join(known))
    signs = [1, -1]
    return tuple(
        {name: Fraction(signs[n % 2] if n < POINTS - 2 else rng.choice(signs)) * Fraction(rng.randint(300, 3000), 997)
         for name in known}
        for n in range(POINTS)
    )  # fmt: skip


def _points(known: Sequence[str]) -> tuple[Mapping[str, Fraction], ...]:
    return _seeded(tuple(known)) if known else ({},)


def _at(first: Tree, second: Tree, point: Mapping[str, Fraction]) -> bool | None:
    """Compare at a point; None where either has no value there."""
    try:
        one, two = evaluate(first, point), evaluate(second, point)
    except (ArithmeticError, ValueError):
        return None
    if isinstance(one, Fraction) and isinstance(two, Fraction):
        return one == two
    return _near(complex(one), complex(two))


def _close(first: Tree, second: Tree, point: Mapping[str, Fraction]) -> bool:
    """Compare two numbers: exactly where both are rational, else nearly; a long decimal with what rounds to it."""
    if "inf" in (_infinite(first), _infinite(second)) or "-inf" in (_infinite(first), _infinite(second)):
        return _infinite(first) == _infinite(second)
    if _at(first, second, point):
        return True
    for decimal, other in ((first, second), (second, first)):
        if decimal[0] == "num" and (decimal[2] or 0) >= ROUNDED:
            try:
                value = complex(evaluate(other, point))
            except (ArithmeticError, ValueError):
                return False
            half = 0.5000001 * 10.0 ** -decimal[2]
            return not abs(value.imag) > TOLERANCE and abs(value.real - float(decimal[1])) <= half
    return False


def _infinite(tree: Tree) -> str:
    if tree == ("call", "inf", ()):
        return "inf"
    return "-inf" if tree == negative(("call", "inf", ())) else ""


def _near(one: complex, two: complex) -> bool:
    if not (cmath.isfinite(one) and cmath.isfinite(two)):
        return False
    return abs(one - two) <= max(TOLERANCE * max(abs(one), abs(two)), 1e-12)
