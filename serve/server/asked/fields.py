"""Readers of single fields, and the table that a kind of request is.

A reader takes a value and a field's name and returns what it stands for, or raises Refusal (400), one line that says
what was given and what was expected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from millrace.config import did_you_mean
from serve.server.refusal import Refusal

Reader = Callable[[Any, str], Any]


@dataclass(frozen=True)
class Field:
    """A field that is read: how, and what stands for it where it is absent or null."""

    read: Reader
    default: Any = None


def take(body: Mapping[str, Any], table: Mapping[str, Field]) -> dict[str, Any]:
    """Return each field of a table as it was read. Raises Refusal for a field that no table has."""
    for name in body:
        if name not in table:
            raise Refusal(
                400, f"unknown field {shown(name)}.{did_you_mean(name, table)}", name[:64], "unknown_parameter"
            )
    return {
        name: field.default if body.get(name) is None else field.read(body[name], name) for name, field in table.items()
    }


def wrong(name: str, value: Any, expected: str) -> NoReturn:
    """Refuse a value."""
    raise Refusal(400, f"{name} is {shown(value)}; it must be {expected}", name)


def shown(value: Any) -> str:
    """Return a value as a message shows it: short, and of long ones the begin."""
    if isinstance(value, list | dict) and len(value) > 8:
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return "a number of many digits"
    text = repr(value[:80] if isinstance(value, str) else value)
    return text if len(text) <= 100 else f"{text[:90]}..."


def whole(low: int, high: int) -> Reader:
    """Read a whole number from `low` to `high`."""

    def read(value: Any, name: str) -> int:
        exact = isinstance(value, int) and not isinstance(value, bool)
        if not exact or not low <= value <= high:
            wrong(name, value, f"a whole number from {low} to {high}")
        return int(value)

    return read


def number(low: float, high: float) -> Reader:
    """Read a number from `low` to `high`."""

    def read(value: Any, name: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            wrong(name, value, f"a number from {low:g} to {high:g}")
        return float(value)

    return read


def text(value: Any, name: str) -> str:
    """Read a string."""
    if not isinstance(value, str):
        wrong(name, value, "a string")
    return str(value)


def flag(value: Any, name: str) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        wrong(name, value, "true or false")
    return bool(value)


def strings(most: int, longest: int) -> Reader:
    """Read a string or a list of at most `most`, each of 1 to `longest` characters, as a tuple."""

    def read(value: Any, name: str) -> tuple[str, ...]:
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or len(listed) > most or not all(isinstance(s, str) and s for s in listed):
            wrong(name, value, f"a string, or a list of at most {most}, none of them empty")
        if (given := max(map(len, listed), default=0)) > longest:
            raise Refusal(400, f"{name} has a string of {given:,} characters; it may have {longest:,} at most", name)
        return tuple(listed)

    return read


def ids(most: int) -> Reader:
    """Read a list of at most `most` token ids, as a tuple."""

    def read(value: Any, name: str) -> tuple[int, ...]:
        if (
            not isinstance(value, list)
            or len(value) > most
            or not all(type(n) is int and 0 <= n < 2**31 for n in value)
        ):
            wrong(name, value, f"a list of at most {most} token ids")
        return tuple(value)

    return read


def is_id(value: Any) -> bool:
    """Tell whether a value can be a token's id."""
    return type(value) is int and 0 <= value < 2**31


def bias(value: Any, name: str) -> tuple[tuple[int, float], ...]:
    """Read token ids and what is added to their logits, from -100 to 100."""
    if not isinstance(value, dict) or len(value) > 1024:
        wrong(name, value, "an object of at most 1,024 token ids with numbers from -100 to 100")
    for token, added in value.items():
        if not token.isascii() or not token.isdecimal() or len(token) > 9:
            wrong(name, token, "an object whose names are token ids")
        number(-100, 100)(added, f"{name}.{token}")
    return tuple((int(token), float(added)) for token, added in value.items())


def only(allowed: Any, why: str = "") -> Reader:
    """Refuse all but one value, or those of a tuple: what OpenAI's servers can and this one cannot."""
    values = allowed if isinstance(allowed, tuple) else (allowed,)

    def read(value: Any, name: str) -> Any:
        if not any(type(value) is type(one) and value == one for one in values):
            listed = " or ".join(map(repr, values)) or "absent"
            raise Refusal(
                400, f"{name} is {shown(value)}, which this server does not do{why}; it may be {listed}", name,
                "unsupported_parameter",
            )  # fmt: skip
        return value

    return read


def ignored(value: Any, name: str) -> None:
    """Take a field that changes no answer."""
