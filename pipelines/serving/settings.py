"""The settings of `millrace serve`: a YAML file, `--set section.field=value`, and the options that have a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pretrain import load as files
from serve.engine.settings import EngineSettings
from serve.server.settings import ServerSettings


@dataclass(frozen=True)
class ServeSettings:
    """Sections of a configuration."""

    server: ServerSettings = field(default_factory=ServerSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)


def load(url: str | None, settings: Iterable[str], named: Mapping[str, Any]) -> ServeSettings:
    """Return the settings of a file, or the usual ones, with `settings` over them and the server's `named` over both.

    Raises SettingsError, ServeSettingsError or ConfigError, in one line.
    """
    over = [*settings, *(f"server.{name}={_yaml(value)}" for name, value in named.items())]
    return files.load(url, over, ServeSettings) if url else files.from_values({}, over, ServeSettings)


def _yaml(value: Any) -> str:
    import json

    return json.dumps(value)
