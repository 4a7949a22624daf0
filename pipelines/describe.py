"""Stages in words, from their dataclass fields and docstrings."""

from __future__ import annotations

import dataclasses
import inspect

import yaml

from curator import profiles
from curator.edit import Edit
from curator.stage import CorpusStage, Filter, Mapper, Reader, Stage

KINDS = {Reader: "reader", Mapper: "mapper", Edit: "edit", Filter: "filter", CorpusStage: "corpus stage"}


def list_stages(known: dict[str, type[Stage]]) -> str:
    """Return a line a stage: name, kind and what it does."""
    return "\n".join(f"{name:<21}{kind(stage):<14}{first_line(stage)}" for name, stage in known.items())


def describe_stage(stage: type[Stage]) -> str:
    """Return a stage's docstring, columns and fields with their defaults."""
    lines = [f"{stage.__name__} ({kind(stage)})", "", inspect.getdoc(stage) or "", ""]
    for name in ("reads", "writes", "drops", "signals"):
        columns = getattr(stage, name, None)
        if isinstance(columns, dict | tuple) and columns:
            said = columns if isinstance(columns, tuple) else (f"{c} {k}" for c, k in columns.items())
            lines.append(f"{name:<8}{', '.join(said)}")
    lines.append("fields")
    fields = dataclasses.fields(stage)  # type: ignore[arg-type]
    width = max((len(field.name) for field in fields), default=0)
    types = max((len(str(field.type)) for field in fields), default=0)
    for field in fields:
        default = "required" if field.default is dataclasses.MISSING else repr(field.default)
        lines.append(f"  {field.name:<{width}}  {field.type!s:<{types}}  {default}")
    return "\n".join(lines)


def kind(stage: type[Stage]) -> str:
    """Return what kind of stage it is, in words."""
    return next(word for base, word in KINDS.items() if issubclass(stage, base))


def first_line(stage: type[Stage]) -> str:
    """Return the first line of the docstring."""
    return (inspect.getdoc(stage) or "").partition("\n")[0]


def list_profiles() -> str:
    """Return a line a profile: its name and what it filters."""
    return "\n".join(f"{name:<14}{profiles.load(name).about}" for name in profiles.names())


def describe_profile(name: str) -> str:
    """Return a profile's stages with every limit and its source. Raises SpecError for an unknown name."""
    profile = profiles.load(name)
    lines = [f"{profile.about}", *filter(None, [profile.note])]
    for stage, said in profile.stages:
        width = max(map(len, said), default=0)
        lines += ["", stage]
        for field, (value, source) in said.items():
            shown = yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
            lines.append(f"  {field:<{width}}  {shown:<10}  {source}")
    return "\n".join(lines)
