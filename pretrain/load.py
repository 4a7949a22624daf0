"""A run's configuration from YAML, with `--set section.field=value` on top."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import yaml

from millrace import storage
from millrace.config import build, did_you_mean
from millrace.errors import ConfigError
from pretrain.config import Config
from pretrain.errors import SettingsError

T = TypeVar("T")


class _Yaml(yaml.SafeLoader):
    """YAML whose numbers may be written 3e-4, which YAML 1.1 takes for text without a point and a sign."""


_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load(url: str, settings: Iterable[str] = (), cls: type[T] = Config) -> T:  # type: ignore[assignment]
    """Read a class's configuration from a file and apply settings. Raises SettingsError or ConfigError, in one line."""
    try:
        values = _yaml(storage.read_bytes(url))
    except yaml.YAMLError as error:
        raise SettingsError(f"{url} is not YAML: {' '.join(str(error).split())}") from None
    try:
        return from_values({} if values is None else values, settings, cls)
    except ConfigError as error:
        raise type(error)(f"{url}: {error}") from None


def _yaml(text: str | bytes) -> Any:
    return yaml.load(text, _Yaml)  # a SafeLoader


def from_values(values: Any, settings: Iterable[str] = (), cls: type[T] = Config) -> T:  # type: ignore[assignment]
    """Make a configuration of what YAML gives, with settings applied in their order."""
    if not isinstance(values, Mapping):
        raise SettingsError(
            f"a configuration is a mapping of sections, such as training: {{steps: 100}}; not {values!r}"
        )
    values = _sections(values, cls)
    for setting in settings:
        values = _set(values, setting, cls)
    return build(cls, values)


def _sections(values: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """Refuse a section that is unknown or no mapping; drop those that hold nothing."""
    sections, known = _fields(cls), _names(cls)
    for name, section in values.items():
        if name not in known:
            raise SettingsError(
                f"there is no section {name}.{did_you_mean(str(name), known)} Sections: {', '.join(known)}"
            )
        if name in sections and section is not None and not isinstance(section, Mapping):
            raise SettingsError(f"section {name} is {section!r}; it must be a mapping of field: value")
    given = {name: section for name, section in values.items() if section is not None}
    return {name: dict(value) if name in sections else value for name, value in given.items()}


def _set(values: dict[str, Any], setting: str, cls: type) -> dict[str, Any]:
    place, equals, text = setting.partition("=")
    path = place.strip().split(".")
    if not equals or not all(path) or (len(path) < 2 and path[0] not in set(_names(cls)) - set(_fields(cls))):
        raise SettingsError(f"--set {setting}: write section.field=value, such as training.steps=200")
    try:
        value = _yaml(text)
    except yaml.YAMLError:
        raise SettingsError(f"--set {setting}: {text!r} is not a YAML value") from None
    _check_path(path, setting, cls)
    return _placed(values, path, value)


def _check_path(path: list[str], setting: str, cls: type) -> None:
    """Follow a path of field names through the dataclasses. Raises SettingsError at the first that is unknown."""
    for depth, name in enumerate(path):
        known, what = _names(cls), f"field of {cls.__name__}" if depth else "section"
        if name not in known:
            raise SettingsError(
                f"--set {setting}: {name} is no {what}.{did_you_mean(name, known)} Known: {', '.join(known)}"
            )
        if depth == len(path) - 1:
            return
        inner = _fields(cls).get(name)
        if inner is None:
            raise SettingsError(f"--set {setting}: {'.'.join(path[: depth + 1])} is one value and has no fields")
        cls = inner


def _placed(values: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    if len(path) == 1:
        return {**values, path[0]: value}
    return {**values, path[0]: _placed(values.get(path[0]) or {}, path[1:], value)}


def _names(cls: type) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


def _fields(cls: type) -> dict[str, type]:
    """Return the fields that are dataclasses themselves, with their class."""
    found = {}
    for name, hint in typing.get_type_hints(cls).items():
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        for option in options:
            if isinstance(option, type) and dataclasses.is_dataclass(option):
                found[name] = option
    return found
