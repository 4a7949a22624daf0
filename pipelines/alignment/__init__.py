"""Recipes for alignment runs: configurations as YAML, by name or by path, with settings applied."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

from align.config import Config
from align.errors import AlignSettingsError
from millrace.config import did_you_mean
from pretrain import load as files


def names() -> list[str]:
    """Return the names of the built-in recipes."""
    return sorted(f.name.removesuffix(".yaml") for f in resources.files(__name__).iterdir() if f.name.endswith(".yaml"))


def load(recipe: str, settings: Iterable[str] = ()) -> Config:
    """Return the configuration of a recipe, a name or the path of a YAML file, with `section.field=value` settings.

    Raises AlignSettingsError or ConfigError, in one line that names the mistake.
    """
    if recipe in names():
        return files.load(str(resources.files(__name__) / f"{recipe}.yaml"), settings, Config)
    if recipe.endswith((".yaml", ".yml")):
        return files.load(recipe, settings, Config)
    raise AlignSettingsError(
        f"no recipe is called {recipe}.{did_you_mean(recipe, names())} Recipes: {', '.join(names())}; or a .yaml file"
    )
