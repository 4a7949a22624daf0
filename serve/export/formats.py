"""The formats by their names, and one of them from the settings of a command line."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Sequence
from typing import Any

import yaml

from millrace.config import convert, did_you_mean
from serve.errors import ServeSettingsError
from serve.export.awq import Awq
from serve.export.format import Format
from serve.export.fp8_dynamic import Fp8Dynamic
from serve.export.fp8_static import Fp8
from serve.export.gguf.format import Gguf
from serve.export.hf import HuggingFace
from serve.export.int8 import Int8
from serve.export.trtllm.checkpoint import TensorrtLlm

FORMATS: dict[str, type[Any]] = {one.name: one for one in (HuggingFace, Fp8, Fp8Dynamic, Awq, Int8, TensorrtLlm, Gguf)}


def format_named(name: str, settings: Sequence[str] = ()) -> Format:
    """Return a format with settings, each `field=value`. Raises ServeSettingsError, ConfigError, in one line."""
    if name not in FORMATS:
        raise ServeSettingsError(
            f"no format is called {name}.{did_you_mean(name, FORMATS)} Formats: {', '.join(FORMATS)}"
        )
    hints = {field.name: hint for field, hint in _fields(FORMATS[name])}
    values = {}
    for setting in settings:
        field, equals, text = setting.partition("=")
        if not equals:
            raise ServeSettingsError(f"--set {setting}: write field=value, such as {next(iter(hints))}=...")
        if field not in hints:
            raise ServeSettingsError(
                f"--set {setting}: {name} has no field {field}.{did_you_mean(field, hints)} Fields: {', '.join(hints)}"
            )
        values[field] = convert(_value(setting, text), hints[field], f"{name}: {field}")
    made: Format = FORMATS[name](**values)
    return made


def _fields(cls: type[Any]) -> list[tuple[Any, Any]]:
    """Return the fields of a format, each with its type."""
    hints = typing.get_type_hints(cls)
    return [(field, hints[field.name]) for field in dataclasses.fields(cls)]


def _value(setting: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ServeSettingsError(f"--set {setting}: {text!r} is not a YAML value") from None


def listed() -> str:
    """Return every format with what it writes, and its fields with their defaults and what they say, a line each."""
    lines = []
    for name, one in FORMATS.items():
        lines.append(f"{name:<12} {inspect.getdoc(one).splitlines()[0]}")  # type: ignore[union-attr]
        said = _comments(one)
        for field, _ in _fields(one):
            lines.append(f"    {f'{field.name}={_shown(field.default)}':<24} {said.get(field.name, '')}".rstrip())
    return "\n".join(lines)


def settings_of(target: Format) -> str:
    """Return a format by its name, with the settings that differ from what they are by themselves."""
    fields = dataclasses.fields(target)  # type: ignore[arg-type]
    given = {
        field.name: getattr(target, field.name) for field in fields if getattr(target, field.name) != field.default
    }
    return " ".join([target.name, *(f"{name}={_shown(value)}" for name, value in given.items())])


def _shown(value: Any) -> str:
    """Return a value as --set takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _comments(cls: type[Any]) -> dict[str, str]:
    """Return what stands behind each field in the source: it is written there once, for both readers."""
    found: dict[str, str] = {}
    for one in reversed([base for base in cls.__mro__ if dataclasses.is_dataclass(base)]):
        found |= re.findall(r"^    (\w+): .*?  # (.+)$", inspect.getsource(one), re.MULTILINE)
    return found
