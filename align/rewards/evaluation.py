"""The value of a tree at a point: exact while it is rational and small, else a complex float; every step bounded."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from align.rewards.expression import Tree

BITS = 2048  # of a numerator or denominator, past which numbers are floats
Number = Fraction | complex


def names(tree: Tree) -> frozenset[str]:
    """Return the variables of a tree; e and i are constants."""
    if tree[0] == "var":
        return frozenset() if tree[1] in ("e", "i") else frozenset({tree[1]})
    inner = tree[2] if tree[0] in ("call", "list", "rel") else ()
    return frozenset().union(*map(names, inner))


def evaluate(tree: Tree, point: Mapping[str, Fraction]) -> Number:
    """Return a tree's value: exact while it is rational and small, else complex.

    Raises ArithmeticError or ValueError where it has none, or is past what a float holds.
    """
    if tree[0] == "num":
        return tree[1]  # type: ignore[no-any-return]
    if tree[0] == "var":
        if tree[1] in ("e", "i") and tree[1] not in point:
            return complex(math.e) if tree[1] == "e" else 1j
        return point[tree[1]]
    if tree[0] != "call" or tree[1] == "pm":
        raise ValueError(f"{tree[0]} has no value")
    return apply(tree[1], [evaluate(one, point) for one in tree[2]])


def apply(name: str, given: list[Number]) -> Number:
    """Return the value of a function of EXACT or INEXACT. Raises as `evaluate`."""
    if name == "log" and len(given) == 2:
        return cmath.log(complex(given[0])) / cmath.log(complex(given[1]))
    try:
        made = EXACT[name](*given) if name in EXACT else INEXACT[name](*map(complex, given))
    except (KeyError, TypeError):  # inf; too many arguments; the greater of two complex numbers
        raise ValueError(f"{name} has no value here") from None
    if isinstance(made, Fraction) and max(made.numerator.bit_length(), made.denominator.bit_length()) > BITS:
        return complex(made)
    return made


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        if exponent.denominator == 1 and size * abs(exponent.numerator) <= BITS:
            return base**exponent.numerator
        if exponent.denominator > 1 and base > 0 and (root := _exact_root(base, exponent.denominator)) is not None:
            return _power(root, Fraction(exponent.numerator))
    if complex(base) == 0:
        if complex(exponent).real <= 0:
            raise ValueError("0 to a power that is not above 0")
        return Fraction(0)
    return complex(base) ** complex(exponent)


def _exact_root(base: Fraction, degree: int) -> Fraction | None:
    if degree > 64:
        return None
    parts = [round(float(part) ** (1 / degree)) for part in (base.numerator, base.denominator)]
    made = Fraction(*parts) if parts[1] else Fraction(0)
    return made if made and made**degree == base else None


def _root(under: Number, degree: Number) -> Number:
    real = isinstance(under, Fraction) and isinstance(degree, Fraction)
    if real and under < 0 and degree.denominator == 1 and degree.numerator % 2:  # type: ignore[union-attr,operator]
        return -_power(-under, 1 / degree)  # the real root
    return _power(under, 1 / degree)


def _whole(number: Number, most: int) -> int:
    if not isinstance(number, Fraction) or number.denominator != 1 or not 0 <= number <= most:
        raise ValueError("no small whole number")
    return int(number)


def _absolute(number: Number) -> Number:
    return abs(number) if isinstance(number, Fraction) else complex(abs(number))


def _rounded(way: Callable[[Any], int]) -> Callable[[Number], Number]:
    def rounding(number: Number) -> Number:
        return Fraction(way(number if isinstance(number, Fraction) else number.real))

    return rounding


EXACT: dict[str, Callable[..., Number]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "neg": lambda a: -a, "^": _power, "sqrt": lambda a: _power(a, Fraction(1, 2)), "root": _root, "abs": _absolute,
    "floor": _rounded(math.floor), "ceil": _rounded(math.ceil),
    "!": lambda a: Fraction(math.factorial(_whole(a, 170))),
    "binom": lambda a, b: Fraction(math.comb(_whole(a, 500), _whole(b, 500))),
    "gcd": lambda *given: Fraction(math.gcd(*(_whole(one, 10**18) for one in given))),
    "max": lambda *given: max(given), "min": lambda *given: min(given),
}  # fmt: skip
INEXACT: dict[str, Callable[..., complex]] = {
    "pi": lambda: complex(math.pi), "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan,
    "cot": lambda a: 1 / cmath.tan(a), "sec": lambda a: 1 / cmath.cos(a), "csc": lambda a: 1 / cmath.sin(a),
    "arcsin": cmath.asin, "arccos": cmath.acos, "arctan": cmath.atan, "asin": cmath.asin, "acos": cmath.acos,
    "atan": cmath.atan, "sinh": cmath.sinh, "cosh": cmath.cosh, "tanh": cmath.tanh, "ln": cmath.log,
    "log": cmath.log10, "lg": cmath.log10, "exp": cmath.exp,
}  # fmt: skip
