"""Profiles: filters with the limits of a paper or of another toolkit, each limit with its source.

A profile is a YAML file beside this module:

    about: what it filters, and after whom
    note: what differs from the source, if anything
    stages:
      - GopherQuality:
          min_words: [50, "Rae et al. 2021, A.1.1"]
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml

from curator.errors import SpecError
from millrace.config import did_you_mean

if TYPE_CHECKING:
    from curator.stage import Stage


@dataclass(frozen=True)
class Profile:
    """What a profile says."""

    name: str
    about: str
    note: str
    stages: tuple[tuple[str, dict[str, tuple[Any, str]]], ...]  # name and {field: (value, source)}

    @property
    def spec(self) -> list[dict[str, dict[str, Any]]]:
        """Return its stages as a pipeline's YAML would say them."""
        return [{stage: {field: value for field, (value, _) in said.items()}} for stage, said in self.stages]


def names() -> list[str]:
    """Return the names of all profiles."""
    found = (file.name for file in resources.files(__name__).iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def load(name: str) -> Profile:
    """Return a profile. Raises SpecError where there is none of this name."""
    known = names()
    if name not in known:
        raise SpecError(f"no profile is called {name}.{did_you_mean(str(name), known)} Profiles: {', '.join(known)}")
    said = yaml.safe_load(resources.files(__name__).joinpath(f"{name}.yaml").read_text("utf-8"))
    stages = tuple(
        (stage, {field: (value, source) for field, (value, source) in (settings or {}).items()})
        for item in said["stages"]
        for stage, settings in item.items()
    )
    return Profile(name, said["about"], said.get("note", ""), stages)


def profile(name: str) -> tuple[Stage, ...]:
    """Return the stages of a profile: `Pipeline([ReadJsonl("*.jsonl"), *profile("fineweb")])`."""
    from curator import spec

    return tuple(spec.stage_from_spec(item) for item in load(name).spec)


def expanded(items: list[Any]) -> list[Any]:
    """Return a pipeline's spec with every `profile: NAME` replaced by its stages."""
    whole: list[Any] = []
    for item in items:
        if isinstance(item, dict) and list(item) == ["profile"]:
            whole += load(item["profile"]).spec
        else:
            whole.append(item)
    return whole
