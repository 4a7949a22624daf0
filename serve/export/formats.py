"""The formats by their names, and one of them from the settings of a command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import yaml

from millrace.config import build, did_you_mean
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
    fields = [field.name for field in dataclasses.fields(FORMATS[name])]
    values = {}
    for setting in settings:
        field, equals, text = setting.partition("=")
        if not equals:
            raise ServeSettingsError(f"--set {setting}: write field=value, such as {fields[0]}=...")
        if field not in fields:
            raise ServeSettingsError(
                f"--set {setting}: {name} has no field {field}.{did_you_mean(field, fields)} "
                f"Fields: {', '.join(fields)}"
            )
        values[field] = _value(setting, text)
    made: Format = build(FORMATS[name], values)
    return made


def _value(setting: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ServeSettingsError(f"--set {setting}: {text!r} is not a YAML value") from None


def described() -> str:
    """Return every format with its fields and their defaults, a line each."""
    lines = []
    for name, one in FORMATS.items():
        lines.append(f"{name:<12} {(one.__doc__ or '').splitlines()[0]}")
        lines += [f"    {field.name}={_default(field)}" for field in dataclasses.fields(one)]
    return "\n".join(lines)


def _default(field: Any) -> str:
    return "" if field.default is dataclasses.MISSING else str(field.default)
