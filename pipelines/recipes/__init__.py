"""Recipes: pipelines as YAML, by name or by path, with their input and settings filled in."""

from __future__ import annotations

from importlib import resources
from typing import Any

from curator import profiles, spec
from curator.errors import SpecError
from curator.pipeline import Pipeline
from curator.stage import Reader
from millrace.config import did_you_mean

READERS = {
    ".warc": "ReadWarc",
    ".arc": "ReadWarc",
    ".jsonl": "ReadJsonl",
    ".ndjson": "ReadJsonl",
    ".json": "ReadJsonl",
    ".parquet": "ReadParquet",
}
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")


def names() -> list[str]:
    """Return the names of the built-in recipes."""
    return sorted(f.name.removesuffix(".yaml") for f in resources.files(__name__).iterdir() if f.name.endswith(".yaml"))


def load(recipe: str, inputs: list[str], settings: list[str], tokenizer: str | None = None) -> Pipeline:
    """Return the pipeline of a recipe with its settings applied.

    A recipe is a name, the path of a YAML file, or the name of a profile, whose filters it then is. One
    without a reader gets the one that the input's ending asks for.
    """
    if recipe in names():
        items = spec.load(str(resources.files(__name__) / f"{recipe}.yaml"))
    elif recipe.endswith((".yaml", ".yml")):
        items = spec.load(recipe)
    elif recipe in profiles.names():
        items = [{"profile": recipe}]
    else:
        raise SpecError(
            f"no recipe is called {recipe}.{did_you_mean(recipe, [*names(), *profiles.names()])} "
            f"Recipes: {', '.join(names())}; profiles: {', '.join(profiles.names())}; or a .yaml file"
        )
    if not isinstance(items, list) or not items:
        raise SpecError(f"{recipe}: a recipe is a list of stages")
    items = _with_input(profiles.expanded(items), inputs)
    if tokenizer:
        settings = [f"Tokenize.tokenizer={tokenizer}", *settings]
    return spec.from_spec(spec.with_settings(items, settings))


def _with_input(items: list[Any], inputs: list[str]) -> list[Any]:
    name, settings = spec.named(items[0])
    stage = spec.stage_class(name)
    reads = stage is not None and issubclass(stage, Reader)
    if not inputs:
        if not reads and stage is not None:
            raise SpecError(f"the recipe begins with {name} and not with a reader, so --input must say what to read")
        return items
    path: Any = inputs[0] if len(inputs) == 1 else inputs
    if reads:
        return [{name: {**settings, "path": path}}, *items[1:]]
    return [{reader_for(inputs): {"path": path}}, *items]


def reader_for(inputs: list[str]) -> str:
    """Return the name of the reader for files with these endings. Raises SpecError where they tell nothing."""
    found = set()
    for url in inputs:
        plain = url
        for ending in COMPRESSED:
            plain = plain.removesuffix(ending)
        found.add(next((reader for ending, reader in READERS.items() if plain.endswith(ending)), None))
    if len(found) != 1 or None in found:
        raise SpecError(
            f"--input {' '.join(inputs)}: its ending does not tell the reader ({', '.join(READERS)}, "
            f"with or without {', '.join(COMPRESSED)}); name a reader in the recipe"
        )
    return str(found.pop())
