"""Pipelines as YAML and back: a list of {StageName: {field: value}}, nothing but public names."""

from __future__ import annotations

import dataclasses
from typing import Any

import yaml

from curator.errors import SpecError
from curator.pipeline import Pipeline
from curator.profiles import expanded
from curator.stage import Stage
from millrace import storage
from millrace.config import build, did_you_mean


def stages() -> dict[str, type[Stage]]:
    """The public stages by name: what YAML may say and what `millrace stages` lists."""
    import curator

    found = {name: stage_class(name) for name in curator.__all__}
    return {name: stage for name, stage in found.items() if stage is not None}


def stage_class(name: str) -> type[Stage] | None:
    """Return the public stage of this name, or None; imports no other."""
    import curator

    public = getattr(curator, name) if name in curator.__all__ else None
    return public if isinstance(public, type) and issubclass(public, Stage) else None


def fields(stage: Stage) -> dict[str, Any]:
    """Return a stage's settings as plain values."""
    return {f.name: _plain(getattr(stage, f.name)) for f in dataclasses.fields(stage)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def to_spec(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return the pipeline as plain lists and mappings, every field said."""
    return [{type(stage).__name__: fields(stage)} for stage in pipeline.stages]


def from_spec(spec: Any) -> Pipeline:
    """Make a pipeline from what YAML gives. Raises SpecError, ConfigError or ColumnError."""
    if not isinstance(spec, list) or not spec:
        raise SpecError("a pipeline is a list of stages, such as [{ReadJsonl: {path: data/*.jsonl}}, ExactDedup]")
    return Pipeline([stage_from_spec(item) for item in expanded(spec)])


def stage_from_spec(item: Any) -> Stage:
    """Make a stage from `Name` or {Name: {field: value}}."""
    name, values = named(item)
    stage = stage_class(name)
    if stage is None:
        known = stages()
        raise SpecError(f"no stage is called {name}.{did_you_mean(name, known)} Stages: {', '.join(known)}")
    return build(stage, values)


def named(item: Any) -> tuple[str, dict[str, Any]]:
    """Return the name and settings that `Name` or {Name: {field: value}} says; raise SpecError for anything else."""
    name, values = item, None
    if isinstance(item, dict) and len(item) == 1:
        name, values = next(iter(item.items()))
    if not isinstance(name, str):
        raise SpecError(f"{item!r} is no stage; write Name or {{Name: {{field: value}}}}")
    if not isinstance(values, dict | None):
        raise SpecError(f"{name}: its settings are {values!r}; they must be a mapping of field: value")
    return name, values or {}


def load(url: str) -> list[Any]:
    """Read a YAML file that describes a pipeline."""
    try:
        return yaml.safe_load(storage.read_bytes(url))  # type: ignore[no-any-return]
    except yaml.YAMLError as error:
        raise SpecError(f"{url} is not YAML: {' '.join(str(error).split())}") from None


def dump(pipeline: Pipeline) -> str:
    """Return the pipeline as YAML."""
    return yaml.safe_dump(to_spec(pipeline), sort_keys=False, allow_unicode=True, width=110)


def with_settings(spec: list[Any], settings: list[str]) -> list[Any]:
    """Return the spec, profiles expanded, with `Stage.field=value` settings applied; a value is read as YAML."""
    names, values = map(list, zip(*map(named, expanded(spec)), strict=True))
    for setting in settings:
        place, equals, text = setting.partition("=")
        stage, dot, name = place.partition(".")
        if not equals or not dot:
            raise SpecError(f"--set {setting}: write Stage.field=value")
        if stage not in names:
            raise SpecError(
                f"--set {setting}: the pipeline has no stage {stage}.{did_you_mean(stage, names)} "
                f"Stages: {', '.join(names)}"
            )
        if names.count(stage) > 1:
            raise SpecError(f"--set {setting}: the pipeline has {names.count(stage)} of {stage}; edit the recipe")
        at = names.index(stage)
        try:
            values[at] = {**values[at], name: yaml.safe_load(text)}
        except yaml.YAMLError:
            raise SpecError(f"--set {setting}: {text!r} is not a YAML value") from None
    return [{name: given} for name, given in zip(names, values, strict=True)]
