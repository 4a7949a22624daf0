"""Rails out of a configuration: a list of {kind: settings}, checked and loaded before anything is served."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from millrace import storage
from millrace.config import build, did_you_mean
from millrace.errors import ConfigError, MillraceError, StorageError
from serve.errors import ServeSettingsError
from serve.rails.classifier import Classifier, ClassifierSettings, Scorer
from serve.rails.pii import Pii, PiiSettings, Redactor
from serve.rails.rail import Rail
from serve.rails.rails import ROLES, Event, Place, Placed, Rails

KINDS = {
    "words": "serve.rails.words:Words", "regex": "serve.rails.regex:Regex", "pii": "serve.rails.pii:PiiSettings",
    "classifier": "serve.rails.classifier:ClassifierSettings", "judge": "serve.rails.judge:JudgeRail",
    "nemo": "serve.rails.nemo:Nemo",
}  # fmt: skip
PLACE = tuple(field.name for field in dataclasses.fields(Place))


@dataclass(frozen=True)
class Makers:
    """What makes the callables that serve has not itself. Each loads its model and raises MillraceError where it
    cannot; what it returns may be called from several threads."""

    redactor: Callable[[PiiSettings], Redactor]
    scorer: Callable[[ClassifierSettings], Scorer]


def load(url: str, makers: Makers, observe: Callable[[Event], None] = lambda event: None) -> Rails:
    """Return the rails of a YAML file, `rails:` and a list. Raises ServeSettingsError naming file, place and fault."""
    try:
        content = yaml.safe_load(storage.read_bytes(url).decode())
    except (StorageError, UnicodeDecodeError) as error:
        raise ServeSettingsError(
            f"rails: {error}" if isinstance(error, StorageError) else f"{url} is no UTF-8"
        ) from None
    except yaml.YAMLError as error:
        raise ServeSettingsError(f"{url} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, Mapping) or set(content) != {"rails"} or not isinstance(content["rails"], list):
        raise ServeSettingsError(f"{url} must hold `rails:` and a list of rails, such as - words: {{files: [bad.txt]}}")
    try:
        return compose(content["rails"], makers, observe)
    except ServeSettingsError as error:
        raise ServeSettingsError(f"{url}: {error}") from error.__cause__


def compose(specs: Sequence[Any], makers: Makers, observe: Callable[[Event], None] = lambda event: None) -> Rails:
    """Return the rails that a configuration lists, each {kind: settings}, loaded.

    Settings are those of the kind and of its place: name, side, action, refusal, roles, messages.
    Raises ServeSettingsError naming the place and what is wrong.
    """
    placed: list[Placed] = []
    for number, spec in enumerate(specs):
        where = f"rails[{number}]"
        one = _read(spec, where, makers)
        if one.place.name in {other.place.name for other in placed}:
            raise ServeSettingsError(f"{where}: two rails are called {one.place.name}; give one another name")
        placed.append(one)
    return Rails(placed, observe)


def _read(spec: Any, where: str, makers: Makers) -> Placed:
    if not isinstance(spec, Mapping) or len(spec) != 1:
        raise ServeSettingsError(f"{where} is {spec!r}; it must be one kind with its settings, such as {{pii: {{}}}}")
    ((kind, given),) = spec.items()
    if kind not in KINDS:
        near = did_you_mean(str(kind), KINDS)
        raise ServeSettingsError(f"{where}: no rail is called {kind}.{near} Rails: {', '.join(KINDS)}")
    if given is not None and not isinstance(given, Mapping):
        raise ServeSettingsError(f"{where}.{kind} is {given!r}; it must be a mapping of settings")
    settings = dict(given or {})
    about = {name: settings.pop(name) for name in PLACE if name in settings}
    module, _, cls = KINDS[kind].partition(":")
    try:
        rail = _opened(build(getattr(importlib.import_module(module), cls), settings), makers)
        place = build(Place, {"name": kind, "action": rail.actions[0], **about})
        _check(place, rail)
        rail.prepare()
    except (ConfigError, MillraceError) as error:
        raise ServeSettingsError(f"{where}.{kind}: {error}") from error.__cause__
    return Placed(place, rail)


def _opened(made: Any, makers: Makers) -> Rail:
    if isinstance(made, PiiSettings):
        return Pii(made, makers.redactor(made))
    if isinstance(made, ClassifierSettings):
        return Classifier(made, makers.scorer(made))
    rail: Rail = made
    return rail


def _check(place: Place, rail: Rail) -> None:
    if place.action not in rail.actions:
        raise ServeSettingsError(f"action is {place.action}; {rail.kind} can {', '.join(rail.actions)}")
    if not place.refusal.strip():
        raise ServeSettingsError("refusal is empty; it is what a client reads")
    for role in place.roles:
        if role not in ROLES:
            raise ServeSettingsError(
                f"roles: no role is called {role}.{did_you_mean(role, ROLES)} Roles: {', '.join(ROLES)}"
            )
    if not place.roles and place.side != "output":
        raise ServeSettingsError("roles is empty; the rail would check no message")
