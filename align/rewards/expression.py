r"""Read a mathematical answer, LaTeX or plain, into a small tree; nothing is ever executed.

A tree is made of tuples: ("num", Fraction, places) with the decimals written or None, ("var", name), ("word", text),
("call", function, arguments), ("list", kind, items) with kind "()", "[]", "(]", "[)", "{}", "," or "U" (a union), and
("rel", signs, sides). Input of more than MOST characters, of more than LARGEST
factors, or nested deeper than DEEPEST, is not read.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

Tree = tuple[Any, ...]
MOST, DEEPEST, LARGEST = 1000, 60, 200

FUNCTIONS = {"sqrt", "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "asin", "acos", "atan",
             "sinh", "cosh", "tanh", "ln", "log", "lg", "exp", "abs", "floor", "ceil", "binom", "max",
             "min", "gcd"}  # fmt: skip
ANGULAR = {"sin", "cos", "tan"}
CONSTANTS = {"pi", "π", "infty", "infinity", "∞"}
GREEK = set(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau "
    "upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell".split()
)
SIGNS = {"=": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "!=": "!=", "≤": "<=", "≥": ">=", "≠": "!=",
         "\\le": "<=", "\\leq": "<=", "\\leqslant": "<=", "\\ge": ">=", "\\geq": ">=", "\\geqslant": ">=", "\\lt": "<",
         "\\gt": ">", "\\ne": "!=", "\\neq": "!=", "\\in": "in", "∈": "in"}  # fmt: skip
SAME = {"\\cdot": "*", "\\times": "*", "×": "*", "·": "*", "⋅": "*", "∗": "*", "\\ast": "*", "÷": "/", "\\div": "/",
        "−": "-", "–": "-", "**": "^", "\\{": "{.", "\\}": ".}", "\\lbrace": "{.", "\\rbrace": ".}", "\\lvert": "|",
        "\\rvert": "|", "\\vert": "|", "\\mid": "|", "\\lbrack": "[", "\\rbrack": "]", "\\lparen": "(", "\\rparen": ")",
        "\\langle": "(", "\\rangle": ")", "\\cup": "U", "∪": "U", "±": "\\pm", "√": "\\sqrt", "\\ldots": "...",
        "\\dots": "...", ":": "/", "\\colon": "/",
        "\\land": ",", "\\lor": ",", "\\wedge": ",", "\\vee": ",", ";": ","}  # fmt: skip
ENDS = {"\\pm", "\\mp", "\\right", "\\%", "\\rfloor", "\\rceil"}
LEXER = re.compile(
    r"\s*(?:(?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+(?![\w.]))?)|(?P<command>\\[A-Za-z]+|\\[{}])"
    r"|(?P<word>[A-Za-z]+|[α-ωΑ-Ω])|(?P<sign>\*\*|<=|>=|!=|\.\.\.|[^\sA-Za-z\d\\]))"
)


class Unreadable(ValueError):
    """Text that is no mathematics this reader knows."""


def read(said: str) -> Tree:
    """Return the tree of an answer that `clean` made ready. Raises Unreadable."""
    if len(said) > MOST:
        raise Unreadable(f"more than {MOST} characters")
    reader = Reader(_tokens(said))
    tree = reader.items(frozenset())
    if reader.at < len(reader.tokens):
        raise Unreadable(f"{reader.tokens[reader.at]!r} is not expected")
    return tree


def _tokens(said: str) -> list[str]:
    found, at = [], 0
    said = said.rstrip()
    while at < len(said):
        match = LEXER.match(said, at)
        if match is None:
            raise Unreadable(f"{said[at]!r} is not expected")
        at = match.end()
        token = match[match.lastgroup or 0]
        if match.lastgroup == "word":
            found += _words(token)
        elif token in ("\\or", "\\and"):
            found.append(",")
        else:
            found.append(SAME.get(token, token))
    return found


def _words(word: str) -> list[str]:
    """Split letters into names: a function or constant whole, `and` and `or` as commas, else letter by letter."""
    lower = word.lower()
    if lower in FUNCTIONS or lower in CONSTANTS or word in GREEK:
        return [f"\\{lower if lower in FUNCTIONS or lower in CONSTANTS else word}"]
    if lower in ("and", "or"):
        return [","]
    if lower in ("inf", "oo"):
        return ["\\infty"]
    if word == "U" or len(word) <= 3:
        return list(word)
    for name in ("sqrt", "pi"):  # 2sqrt(3) comes apart by its digit; xpi, pisqrt do not
        if name in lower:
            before, _, after = lower.partition(name)
            return [*(_words(before) if before else []), f"\\{name}", *(_words(after) if after else [])]
    raise Unreadable(f"{word} is a word")


class Reader:
    """Recursive descent over tokens."""

    def __init__(self, tokens: list[str]):
        self.tokens, self.at, self.depth, self.size = tokens, 0, 0, 0
        self.bars = 0  # open | of absolute values
        self.angle = False  # whether degrees are an angle's, in sin 30°; else they are a unit

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def need(self, wanted: str) -> None:
        if self.take() != wanted:
            raise Unreadable(f"{wanted} is missing")

    def items(self, ends: frozenset[str]) -> Tree:
        """Read what commas part, up to one of `ends`; one item is itself."""
        found = [self.union()]
        while self.peek() == "," and self.peek() not in ends:
            self.take()
            if self.peek() in ends or self.peek() in ("", ","):  # "1, and 2"; a last comma
                continue
            found.append(self.union())
        return found[0] if len(found) == 1 else ("list", ",", tuple(found))

    def union(self) -> Tree:
        found = [self.relation()]
        while self.peek() == "U" and self.at and found[-1][0] == "list":
            self.take()
            found.append(self.relation())
        return found[0] if len(found) == 1 else ("list", "U", tuple(found))

    def relation(self) -> Tree:
        sides, signs = [self.sum()], []
        while self.peek() in SIGNS:
            signs.append(SIGNS[self.take()])
            sides.append(self.union() if signs[-1] == "in" else self.sum())
        return ("rel", tuple(signs), tuple(sides)) if signs else sides[0]

    def sum(self) -> Tree:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("nested too deep")
        made = self.product() if self.peek() not in ("+", "-", "\\pm", "\\mp") else ("num", Fraction(0), None)
        while self.peek() in ("+", "-", "\\pm", "\\mp"):
            sign = self.take()
            right = self.product()
            plain = made == ("num", Fraction(0), None)
            if sign == "+":
                made = right if plain else ("call", "+", (made, right))
            elif sign == "-":
                made = negative(right) if plain else ("call", "-", (made, right))
            else:
                made = ("call", "pm", (made, right))
        self.depth -= 1
        return made

    def product(self) -> Tree:
        made = self.signed()
        while True:
            token = self.peek()
            if token in ("*", "/"):
                self.take()
                right = self.signed()
                made = ("call", token, (made, right))
                if token == "/" and made[2][0][0] == "num" and self._mixed_before():
                    made = self._mixed(made)
            elif self._begins(token):
                made = self._beside(made, self.power())
            else:
                return made

    def signed(self) -> Tree:
        """Read a factor that may have a sign, as after * or ^."""
        if self.peek() in ("-", "+"):
            negated = self.take() == "-"
            inner = self.signed() if self._deeper() else self.power()
            self.depth -= 1
            return negative(inner) if negated else inner
        return self.power()

    def _deeper(self) -> bool:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("nested too deep")
        return True

    def _mixed_before(self) -> bool:
        """Tell whether the tokens just read are `3 1/2`: a number, a number, /, a number."""
        number = re.compile(r"\d+")
        parts = self.tokens[max(self.at - 4, 0) : self.at]
        return len(parts) == 4 and parts[2] == "/" and all(number.fullmatch(parts[n]) for n in (0, 1, 3))

    def _mixed(self, made: Tree) -> Tree:
        whole, top, bottom = (Fraction(self.tokens[self.at - n]) for n in (4, 3, 1))
        if not bottom:
            raise Unreadable("a denominator is 0")
        return ("num", whole + top / bottom, None)

    def _beside(self, left: Tree, right: Tree) -> Tree:
        r"""Join what stands side by side: a product, but 3\frac{1}{2} is 3.5."""
        if left[0] == "num" and left[2] is None and right[0] == "call" and right[1] == "/":
            top, bottom = right[2]
            if top[0] == bottom[0] == "num" and bottom[1] and left[1].denominator == 1:
                return ("call", "+", (left, right))
        if left[0] == right[0] == "num" and self.peek() == "/":  # 3 1/2: the / and what follows come next
            return right
        if left[0] == right[0] == "num":
            raise Unreadable("two numbers side by side")
        return ("call", "*", (left, right))

    def _begins(self, token: str) -> bool:
        """Tell whether a token can begin a factor beside another."""
        if token == "|":
            return not self.bars
        plain = token[:1].isalnum() or token in ("(", "{", "[") or token[:1] in "π∞"
        command = token[:1] == "\\" and token not in SIGNS and token not in ENDS
        return bool(token) and token != "U" and (plain or command)

    def power(self) -> Tree:
        self._deeper()
        self.size += 1
        if self.size > LARGEST:
            raise Unreadable(f"more than {LARGEST} factors")
        made = self.atom()
        while self.peek() in ("^", "!", "_", "%", "\\%", "°"):
            sign = self.take()
            if sign == "^":
                made = ("call", "^", (made, self._exponent()))
            elif sign == "!":
                made = ("call", "!", (made,))
            elif sign == "_":
                made = self._indexed(made)
            elif sign == "°" and self.angle:
                made = ("call", "*", (made, ("call", "/", (("call", "pi", ()), ("num", Fraction(180), None)))))
        self.depth -= 1
        return made

    def _exponent(self) -> Tree:
        """Read what stands after ^; 2^3^2 is 2^(3^2)."""
        self._deeper()
        made = self.argument()
        if self.peek() == "^":
            self.take()
            made = ("call", "^", (made, self._exponent()))
        self.depth -= 1
        return made

    def _indexed(self, made: Tree) -> Tree:
        begin = self.at
        self.argument()
        index = "".join(self.tokens[begin : self.at]).strip("{}")
        if made[0] == "var":
            return ("var", f"{made[1]}_{index}")
        if made[0] == "num":
            return ("word", f"{made[1]}_{index}")  # a number in base `index`
        raise Unreadable("an index without a name")

    def argument(self) -> Tree:
        r"""Read what a command or ^ takes: a group, or one token; \frac12 takes digits one by one."""
        if self.peek() == "{":
            self.take()
            made = self.items(frozenset("}"))
            self.need("}")
            return made
        if self.peek() in ("-", "+"):
            return self.signed()
        return self.atom()

    def _digit(self) -> Tree:
        token = self.peek()
        if token.isdecimal() and len(token) > 1:
            self.tokens[self.at : self.at + 1] = [token[0], token[1:]]
        return self.argument()

    def atom(self) -> Tree:
        token = self.take()
        if token[:1].isdecimal() or (token[:1] == "." and token[1:2].isdecimal()):
            return number(token)
        if token in ("(", "[", "{", "{."):
            return self._bracketed(token)
        if token == "|":
            self.bars += 1
            inner = self.sum()
            self.need("|")
            self.bars -= 1
            return ("call", "abs", (inner,))
        name = token.removeprefix("\\")
        if token in ("\\frac", "\\dfrac", "\\tfrac", "\\cfrac"):
            return ("call", "/", (self._digit(), self._digit()))
        if token == "\\sqrt":
            return self._root()
        if token in ("\\binom", "\\dbinom", "\\tbinom"):
            return ("call", "binom", (self._digit(), self._digit()))
        if token == "\\lfloor" or token == "\\lceil":
            inner = self.sum()
            self.need("\\rfloor" if token == "\\lfloor" else "\\rceil")
            return ("call", "floor" if token == "\\lfloor" else "ceil", (inner,))
        if token in ("\\emptyset", "\\varnothing", "∅"):
            return ("list", "{}", ())
        if name in CONSTANTS:
            return ("call", "pi" if name in ("pi", "π") else "inf", ())
        if name in FUNCTIONS and token[:1] == "\\":
            return self._function(name)
        if token.isalpha() or name in GREEK:
            return ("var", name)
        raise Unreadable(f"{token or 'the end'!r} is not expected")

    def _bracketed(self, opened: str) -> Tree:
        ends = {"(": (")", "]"), "[": ("]", ")"), "{": ("}",), "{.": (".}",)}[opened]
        bars, self.bars = self.bars, 0
        if self.peek() in ends:
            kind = opened[0] + self.take()[-1]
            self.bars = bars
            return ("list", kind, ())
        inner = self.items(frozenset(ends))
        closed = self.take()
        if closed not in ends:
            raise Unreadable(f"{ends[0]} is missing")
        self.bars = bars
        several = inner[0] == "list" and inner[1] == ","
        if opened == "{.":
            return ("list", "{}", inner[2] if several else (inner,))
        if several and opened != "{":
            return ("list", opened + closed, inner[2])
        if opened + closed in ("(]", "[)"):
            raise Unreadable("brackets do not match")
        return inner

    def _root(self) -> Tree:
        degree: Tree | None = None
        if self.peek() == "[":
            self.take()
            degree = self.sum()
            self.need("]")
        under = self._digit()
        return ("call", "root", (under, degree)) if degree else ("call", "sqrt", (under,))

    def _function(self, name: str) -> Tree:
        base: tuple[Tree, ...] = ()
        power: Tree | None = None
        while self.peek() in ("_", "^"):
            if self.take() == "_":
                base = (self.argument(),)
            else:
                power = self.argument()
        if name in ANGULAR and power == ("num", Fraction(-1), None):
            name, power = f"arc{name}", None
        outer, self.angle = self.angle, self.angle or name in ANGULAR
        if self.peek() in ("(", "{"):
            inner = self.atom()
        else:  # sin 2x
            inner = self.power()
            while self._begins(self.peek()) and self.peek().removeprefix("\\") not in FUNCTIONS:
                inner = self._beside(inner, self.power())
        self.angle = outer
        given = inner[2] if inner[0] == "list" else (inner,)
        made: Tree = ("call", name, (*given, *base))
        return ("call", "^", (made, power)) if power else made


def number(token: str) -> Tree:
    """Return the number a token writes, with how many decimals it has; exponents of over 3 digits are not read."""
    mantissa, _, exponent = token.lower().partition("e")
    if len(exponent.lstrip("+-")) > 3:
        raise Unreadable("an exponent is too large")
    places = len(mantissa.partition(".")[2]) if "." in mantissa else None
    return ("num", Fraction(token), places)


def negative(tree: Tree) -> Tree:
    """Return a tree with its sign turned."""
    return ("num", -tree[1], tree[2]) if tree[0] == "num" else ("call", "neg", (tree,))
