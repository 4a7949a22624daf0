"""Frozen dataclasses from plain mappings, with types checked and misspellings named."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from millrace.errors import ConfigError

T = TypeVar("T")


def did_you_mean(given: str, available: Iterable[str]) -> str:
    """Return ' Did you mean X?' for the nearest of `available`, or an empty string."""
    near = difflib.get_close_matches(given, list(available), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def build(cls: type[T], values: Mapping[str, Any]) -> T:
    """Make dataclass `cls` from `values`. Raises ConfigError on an unknown field or a wrong type."""
    fields = {field.name for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            raise ConfigError(
                f"{cls.__name__} has no field {name}.{did_you_mean(str(name), fields)}"
                f" Fields: {', '.join(sorted(fields))}"
            )
    hints = typing.get_type_hints(cls)
    given = {name: convert(value, hints[name], f"{cls.__name__}.{name}") for name, value in values.items()}
    missing = [name for name in _required(cls) if name not in given]
    if missing:
        raise ConfigError(f"{cls.__name__} needs {', '.join(missing)}")
    return cls(**given)


def check(made: Any) -> None:
    """Raise ConfigError where a field of a dataclass holds what its type does not allow, as `build` would."""
    hints = typing.get_type_hints(type(made))
    for field in dataclasses.fields(made):
        convert(getattr(made, field.name), hints[field.name], f"{type(made).__name__}.{field.name}")


def convert(value: Any, hint: Any, name: str) -> Any:
    """Return `value` as type `hint`: lists become tuples, ints floats; else raise ConfigError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        made_of_fields = [option for option in arguments if dataclasses.is_dataclass(option)]
        if isinstance(value, Mapping) and len(made_of_fields) == 1:
            return convert(value, made_of_fields[0], name)  # its own message names the field
        for option in arguments:
            try:
                return convert(value, option, name)
            except ConfigError:
                continue
    elif origin is typing.Literal:
        if value in arguments:
            return value
        near = did_you_mean(str(value), map(str, arguments))
        raise ConfigError(f"{name} is {value!r}; it must be one of {list(arguments)}.{near}")
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(convert(item, arguments[0], name) for item in value)
    elif origin is dict and isinstance(value, Mapping):
        return {convert(k, arguments[0], name): convert(v, arguments[1], name) for k, v in value.items()}
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if value == value:  # a limit of NaN would reject nothing
            return float(value)
    elif hint is type(None) and value is None:
        return None
    elif dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return build(hint, value)
    elif isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise ConfigError(f"{name} is {value!r}; it must be {_readable(hint)}")


def _required(cls: type) -> list[str]:
    absent = dataclasses.MISSING
    fields = dataclasses.fields(cls)
    return [f.name for f in fields if f.init and f.default is absent and f.default_factory is absent]


def _readable(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
