"""Let tests in one process use a program in another: values cross as copies, other objects as references.

The tests' side decides every comparison with values of its own, and runs nothing that the program's side sends: a
message names a value, an object of either side, a class of exceptions, or a harmless name of the standard library.
The program's side may call, and read public attributes of, just those objects that the tests gave it.

Stands alone (standard library only): it is imported by an interpreter that is about to be locked (`jail.py`).
"""

from __future__ import annotations

import builtins
import importlib
import json
import operator
import os
import sys
import threading
import types
from collections.abc import Callable, Sequence
from typing import Any

HARMLESS = {"cmath", "collections", "copy", "datetime", "decimal", "fractions", "heapq", "itertools", "math",
            "operator", "random", "re", "statistics", "string", "typing"}  # fmt: skip
PLAIN = (bool, int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset)
MUTABLE = (list, dict, set, bytearray)
HOLD_FRAMES = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType, types.FrameType, types.CodeType,
               types.TracebackType)  # fmt: skip
# values of the standard library that cross as copies: how each is made again
COPIED: dict[str, Callable[[Any], list[Any]]] = {
    "collections.Counter": lambda x: [dict(x)],
    "collections.OrderedDict": lambda x: [list(x.items())],
    "collections.deque": lambda x: [list(x), x.maxlen],
    "decimal.Decimal": lambda x: [str(x)],
    "fractions.Fraction": lambda x: [x.numerator, x.denominator],
    "datetime.date": lambda x: [x.year, x.month, x.day],
    "datetime.datetime": lambda x: [x.year, x.month, x.day, x.hour, x.minute, x.second, x.microsecond, x.tzinfo],
    "datetime.timedelta": lambda x: [x.days, x.seconds, x.microseconds],
    "builtins.range": lambda x: [x.start, x.stop, x.step],
}
BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor", "lshift", "rshift")
ORDER = ("eq", "ne", "lt", "le", "gt", "ge")
ONE: dict[str, Callable[..., Any]] = {
    "iter": iter, "next": next, "len": len, "bool": bool, "str": str, "repr": repr, "hash": hash, "int": int,
    "float": float, "index": operator.index, "abs": abs, "neg": operator.neg, "pos": operator.pos,
    "invert": operator.invert, "reversed": reversed, "round": round, "format": format,
}  # fmt: skip
ITEMS = {name: getattr(operator, name) for name in ("getitem", "setitem", "delitem", "contains")}
ATTRIBUTES: dict[str, Callable[..., Any]] = {"getattr": getattr, "setattr": setattr, "delattr": delattr}
Encoded = Any  # what json can write


def _called(function: Any, args: list[Any], named: dict[str, Any]) -> Any:
    return function(*args, **named)


def _base(value: Any) -> list[Any]:
    """Return the plain value that an object of a derived class holds, in a list; an empty list where it holds none."""
    kind = _base_class(value)
    return [] if kind is None else [str.__str__(value) if kind is str else kind(value)]


def _base_class(value: Any) -> Any:
    return next((kind for kind in PLAIN if isinstance(value, kind)), None)


def _awaited(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(operator, name) for name in (*BINARY, *ORDER)}, **ONE, **ITEMS, **ATTRIBUTES, "call": _called,
    "enter": lambda x: x.__enter__(), "exit": lambda x, *error: x.__exit__(*error), "isinstance": isinstance,
    "issubclass": issubclass, "base": _base, "class": _base_class, "await": _awaited,
}  # fmt: skip
ASKED_OF_TESTS = {"call", *BINARY, *ORDER, *ONE, *ITEMS, "getattr", "setattr", "enter", "exit"}


class Refused(Exception):
    """A message that no program run as it is written sends."""


class Side:
    """One end of the pipes between tests and program. `tests` says whose end it is; `lost` is called at end of file."""

    def __init__(self, reading: int, writing: int, tests: bool, lost: Callable[[], Any]):
        self.reading, self.writing, self.tests, self.lost = reading, writing, tests, lost
        self.mine: list[Any] = []  # what the other side refers to by number
        self.numbers: dict[int, int] = {}  # id -> number; `mine` keeps the objects, so ids last
        self.theirs: dict[int, Any] = {}  # number -> what stands for it here
        self.made: dict[type, int] = {}  # classes of exceptions made here -> their number there
        self.lock = threading.RLock()

    def do(self, name: str, *args: Any) -> Any:
        """Return what the other side gets from an operation; raise what it raises there."""
        return self.ask(["do", name, [self.encode(one) for one in args]], args[1] if name == "call" else args)

    def ask(self, message: Encoded, given: Sequence[Any] = ()) -> Any:
        """Send a message and return its answer; what the other side asks in the meantime is answered."""
        with self.lock:
            self.send(message)
            while (answer := self.receive())[0] == "do":
                self.send(self.answer(answer))
        if answer[0] == "raised":
            raise self.decode(answer[1])
        if answer[0] != "gave":
            raise Refused("the program's side sent neither an answer nor a question")
        for at, now in answer[2]:
            _become(given[at], self.decode(now))
        return self.decode(answer[1])

    def answer(self, message: Encoded) -> Encoded:
        """Return the answer to a `do` of the other side."""
        try:
            _, name, sent = message
            if self.tests:
                self._allow(name, sent)
            args = [self.decode(one) for one in sent]
            value = OPERATIONS[name](*args)
            given, was = (args[1], sent[1][1]) if name == "call" else (args, sent)
            changed = [
                [at, now] for at, one in enumerate(given)
                if type(one) in MUTABLE and (now := self.encode(one)) != was[at]
            ]  # fmt: skip
            return ["gave", self.encode(value), changed]
        except BaseException as error:
            return ["raised", self.encode(error)]

    def _allow(self, name: str, sent: Encoded) -> None:
        """Raise Refused for what would reach past the objects that the tests gave."""
        first = sent[0]
        own = [one for one in sent[:2] if type(one) is list and one[0] == "mine"]
        if name not in ASKED_OF_TESTS or not own or (name in ("call", *ATTRIBUTES) and own[0] is not first):
            raise Refused(f"a program may not ask its tests for {name}")
        if name in ATTRIBUTES:
            target, attribute = self.decode(first), sent[1]
            if type(attribute) is not str or attribute.startswith("_") or isinstance(target, HOLD_FRAMES):
                raise Refused("a program may not ask its tests for what is private")
            if name == "setattr" and (isinstance(target, type) or type(target).__module__ != "__main__"):
                raise Refused("a program may set attributes only of objects of its tests' classes")

    def encode(self, value: Any) -> Encoded:
        """Return what stands for a value in a message."""
        kind = type(value)
        if value is None or kind in (bool, str, float) or (kind is int and -(1 << 63) < value < 1 << 63):
            return value
        if kind is int:
            return ["int", hex(value)]
        if kind is complex:
            return ["complex", value.real, value.imag]
        if kind in (bytes, bytearray):
            return [kind.__name__, value.hex()]
        if kind in (list, tuple, set, frozenset):
            return [kind.__name__, [self.encode(one) for one in value]]
        if kind is dict:
            return ["dict", [[self.encode(key), self.encode(one)] for key, one in value.items()]]
        if kind is Remote:
            return ["mine", object.__getattribute__(value, "_number_")]
        if kind is types.ModuleType and value.__name__.partition(".")[0] in sys.stdlib_module_names:
            return ["module", value.__name__]
        full = f"{kind.__module__}.{kind.__qualname__}"
        if full in COPIED:
            return ["copied", full, [self.encode(one) for one in COPIED[full](value)]]
        return self._encode_object(value)

    def _encode_object(self, value: Any) -> Encoded:
        if isinstance(value, type) and value in self.made:
            return ["mine", self.made[value]]
        if isinstance(value, BaseException):
            names = [[name, self.encode(one)] for name, one in vars(value).items() if not name.startswith("_")]
            return ["error", self.encode(type(value)), [self.encode(one) for one in value.args], names]
        module, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
        if type(module) is type(name) is str and (isinstance(value, type) or callable(value)):
            there = getattr(sys.modules.get(module), name, None) is value
            if there and (_is_harmless(module, value) or (self.tests and module in sys.stdlib_module_names)):
                return ["name", module, name]
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.mine)
            self.mine.append(value)
        number = self.numbers[id(value)]
        if isinstance(value, type) and issubclass(value, BaseException):
            return ["errors", number, value.__name__, [self.encode(base) for base in value.__bases__]]
        return ["coroutine" if type(value) is types.CoroutineType else "theirs", number]

    def decode(self, sent: Encoded) -> Any:
        """Return what a message's part stands for. Raises Refused."""
        if type(sent) is not list:
            return sent
        kind, *rest = sent
        if kind in ("list", "tuple", "set", "frozenset"):
            return getattr(builtins, kind)([self.decode(one) for one in rest[0]])
        if kind == "dict":
            return {self.decode(key): self.decode(one) for key, one in rest[0]}
        if kind in ("bytes", "bytearray"):
            return getattr(builtins, kind).fromhex(rest[0])
        if kind == "int":
            return int(rest[0], 16)
        if kind == "complex":
            return complex(*rest)
        if kind == "mine":
            return self.mine[rest[0]]
        if kind == "copied" and rest[0] in COPIED:
            module, _, name = rest[0].partition(".")
            return getattr(importlib.import_module(module), name)(*[self.decode(one) for one in rest[1]])
        if kind == "module" and rest[0].partition(".")[0] in sys.stdlib_module_names:
            return importlib.import_module(rest[0])
        if kind == "name" and rest[0].partition(".")[0] in sys.stdlib_module_names:
            value = getattr(importlib.import_module(rest[0]), rest[1])
            if not self.tests or (not rest[1].startswith("_") and _is_harmless(rest[0], value)):
                return value
        return self._decode_object(kind, rest)

    def _decode_object(self, kind: str, rest: list[Any]) -> Any:
        if kind == "error":
            made, args, names = self.decode(rest[0]), [self.decode(one) for one in rest[1]], rest[2]
            if isinstance(made, type) and issubclass(made, BaseException):
                error = made.__new__(made, *args)  # its __init__ may want other arguments, and ran there
                for name, one in names:
                    if not name.startswith("_"):
                        setattr(error, name, self.decode(one))
                return error
        if kind == "errors":
            if rest[0] not in self.theirs:
                bases = tuple(self.decode(one) for one in rest[2])
                self.theirs[rest[0]] = made = type(rest[1], bases, {"__module__": "__main__"})
                self.made[made] = rest[0]
            return self.theirs[rest[0]]
        if kind in ("theirs", "coroutine"):
            if rest[0] not in self.theirs:
                self.theirs[rest[0]] = Remote(self, rest[0])
            there = self.theirs[rest[0]]
            return there if kind == "theirs" else _coroutine(self, there)
        raise Refused(f"no value is {kind} {rest!r}"[:100])

    def send(self, message: Encoded) -> None:
        """Write one message."""
        body = json.dumps(message).encode()
        left = memoryview(len(body).to_bytes(8, "big") + body)
        try:
            while left:
                left = left[os.write(self.writing, left) :]
        except BrokenPipeError:
            self.lost()

    def receive(self) -> Any:
        """Read one message."""
        return json.loads(self._read(int.from_bytes(self._read(8), "big")))

    def _read(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = os.read(self.reading, min(count - len(parts), 1 << 20))
            if not part:
                self.lost()
            parts += part
        return bytes(parts)


def _is_harmless(module: str, value: Any) -> bool:
    """Whether tests may use a name of the standard library because the program says so."""
    if isinstance(value, type):
        skips = any(base.__module__.partition(".")[0] == "unittest" for base in value.__mro__)
        return (issubclass(value, BaseException) and not skips) or module == "builtins" or module in HARMLESS
    return module in HARMLESS


def _become(was: Any, now: Any) -> None:
    """Change a mutable value into another of its type, in place: what a function did to its argument."""
    if type(was) is not type(now) or type(was) not in MUTABLE:
        raise Refused("an argument changed its type")
    if isinstance(was, list | bytearray):
        was[:] = now
    else:
        was.clear()
        was.update(now)


async def _coroutine(side: Side, there: Any) -> Any:
    return side.do("await", there)


class Remote:
    """Stands for an object of the other side. Compared with a value of the tests, it is what plain value it holds."""

    __slots__ = ("_number_", "_side_")
    _number_: int
    _side_: Side

    def __init__(self, side: Side, number: int):
        object.__setattr__(self, "_side_", side)
        object.__setattr__(self, "_number_", number)

    def __getattr__(self, name: str) -> Any:
        return self._side_.do("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._side_.do("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._side_.do("delattr", self, name)

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._side_.do("call", self, list(args), named)

    def __instancecheck__(self, one: Any) -> bool:
        return bool(self._side_.do("isinstance", one, self))

    def __subclasscheck__(self, one: Any) -> bool:
        return bool(self._side_.do("issubclass", one, self))

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        return self._side_.do("exit", self, kind, error, None)

    @property  # type: ignore[misc]  # what isinstance asks last
    def __class__(self) -> Any:
        return (self._side_.do("class", self) if self._side_.tests else None) or Remote


def _forwarded(name: str) -> Any:
    def method(self: Remote, *args: Any) -> Any:
        return self._side_.do(name, self, *args)

    return method


def _against(name: str, swapped: bool = False) -> Any:
    """Make an operation with another value: if that is the tests' own, on the plain value that the object holds.

    Never on the program's word of what is equal to that value, or of what is left when it is subtracted.
    """
    operation = getattr(operator, name)

    def method(self: Remote, other: Any) -> Any:
        if type(other) is Remote or not self._side_.tests:
            return self._side_.do(name, *((other, self) if swapped else (self, other)))
        held = self._side_.do("base", self)
        if type(held) is not list or len(held) != 1 or type(held[0]) not in PLAIN:
            return NotImplemented
        return operation(other, held[0]) if swapped else operation(held[0], other)

    return method


for _name in (*ONE, *ITEMS, "enter"):
    setattr(Remote, f"__{_name}__", _forwarded(_name))
for _name in (*BINARY, *ORDER):
    setattr(Remote, f"__{_name.strip('_')}__", _against(_name))
for _name in BINARY:
    setattr(Remote, f"__r{_name.strip('_')}__", _against(_name, swapped=True))
