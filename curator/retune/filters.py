"""The filters of a finished run: as they decided, and as they would with other settings."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from curator import frames, spec
from curator.errors import RunError, SpecError
from curator.pipeline import grouped
from curator.schema import arrow_schema
from curator.stage import CHARACTERS, CorpusStage, Filter, Reader, Rule, Stage
from millrace.errors import MillraceError


@dataclass(frozen=True)
class Decider:
    """A filter of the run, and where it stands."""

    index: int  # place in the pipeline
    name: str
    stage: Filter
    group: int  # place of the first filter it was measured with: a document that came so far was measured

    @property
    def tunable(self) -> list[str]:
        """The settings that change what is decided and nothing that is measured: limits that are None too."""
        limits = [rule.limit for rule in self.stage.rules]
        fields = {field.name for field in dataclasses.fields(self.stage)}  # type: ignore[arg-type]
        return [name for name in dict.fromkeys([*limits, *self.stage.decides]) if name in fields]


@dataclass(frozen=True)
class Reason:
    """One reason for which a filter may drop a document."""

    decider: Decider
    name: str

    @property
    def rule(self) -> Rule | None:
        """The rule behind it; None where the filter decides it in another way."""
        return next((rule for rule in self.decider.stage.rules if rule.reason == self.name), None)

    @property
    def said(self) -> str:
        return f"{self.decider.name}: {self.name}"


@dataclass(frozen=True)
class Filters:
    """All that may drop documents in a run."""

    deciders: tuple[Decider, ...]  # can decide again, on what is stored
    corpus: tuple[int, ...]  # places of corpus stages: their decisions are taken as they were
    opaque: tuple[int, ...]  # places of other stages that cannot be rebuilt
    names: tuple[str, ...]  # of all stages

    @cached_property
    def reasons(self) -> tuple[Reason, ...]:
        """Every reason, in the order in which the first that holds counts."""
        return tuple(
            Reason(decider, name)
            for decider in self.deciders
            for name in decider.stage.reject(frames.from_arrow(arrow_schema(decider.stage.stored()).empty_table()))
        )

    @cached_property
    def signals(self) -> list[str]:
        """The names of all signals that are decided on."""
        return list(dict.fromkeys([CHARACTERS, *(name for d in self.deciders for name in d.stage.stored())]))

    def open_after(self, index: int) -> bool:
        """Tell whether filters follow that never measured a document which the stage at `index` dropped."""
        return any(d.group > index for d in self.deciders) or any(place > index for place in self.opaque)

    def may_be_set(self) -> str:
        """Say which settings can be changed without reading text."""
        said = [f"{d.name}: {', '.join(d.tunable)}" for d in self.deciders if d.tunable]
        return "; ".join(said) or "none"


def of_run(run: dict[str, Any]) -> Filters:
    """Return the filters of a run, out of its run.json. Raises RunError where it has none to decide again."""
    items = [spec.named(item) for item in run["pipeline"]]
    built: dict[int, Filter] = {}
    corpus, opaque = [], []
    for index, (name, settings) in enumerate(items):
        kind = spec.stage_class(name)
        if kind is not None and issubclass(kind, CorpusStage):
            by_settings = isinstance(kind.writes, property)  # one that drops or cuts, as it is set
            if kind.applied and (by_settings or not kind.writes or "text" in kind.writes):
                corpus.append(index)
        elif kind is not None and issubclass(kind, Filter):
            try:
                stage = spec.stage_from_spec({name: settings})
                assert isinstance(stage, Filter)
                built[index] = stage
            except MillraceError:  # a file it names is gone: what it decided stays decided
                opaque.append(index)
        elif kind is None:
            opaque.append(index)
    first_of = {
        index: group[0][0]
        for group in grouped([(i, built.get(i, Stage())) for i in range(len(items))])
        for index, _ in group
    }
    deciders = tuple(Decider(i, items[i][0], stage, first_of[i]) for i, stage in built.items())
    if not deciders:
        raise RunError("the run has no filter whose decisions could be made again")
    return Filters(deciders, tuple(corpus), tuple(opaque), tuple(name for name, _ in items))


def changed(filters: Filters, run: dict[str, Any], settings: list[str]) -> Filters:
    """Return the filters with `Stage.field=value` settings applied.

    Raises SpecError, with what can be set, for a stage that is no filter and a field that shapes what is measured.
    """
    if not settings:
        return filters
    new = [spec.named(item) for item in spec.with_settings(run["pipeline"], settings)]
    old = [spec.named(item)[1] for item in run["pipeline"]]
    deciders = {decider.index: decider for decider in filters.deciders}
    for index, (name, values) in enumerate(new):
        if values == old[index]:
            continue
        if index not in deciders:
            kind = spec.stage_class(name)
            what = "a reader" if kind and issubclass(kind, Reader) else "no filter that can decide again"
            raise SpecError(f"{name} is {what}; what can be retuned: {filters.may_be_set()}")
        stage = spec.stage_from_spec({name: values})
        assert isinstance(stage, Filter)
        decider = deciders[index]
        for field, value in spec.fields(stage).items():
            if value != spec.fields(decider.stage)[field] and field not in decider.tunable:
                raise SpecError(
                    f"{name}.{field} shapes what is measured, so a change needs a run; without reading text can be "
                    f"set: {filters.may_be_set()}"
                )
        deciders[index] = dataclasses.replace(decider, stage=stage)
    return dataclasses.replace(filters, deciders=tuple(deciders[d.index] for d in filters.deciders))


def changes(before: Filters, after: Filters) -> list[tuple[Decider, str, Any, Any]]:
    """Return (filter, field, value before, value after) of every setting that differs."""
    return [
        (new, field, value, spec.fields(new.stage)[field])
        for old, new in zip(before.deciders, after.deciders, strict=True)
        for field, value in spec.fields(old.stage).items()
        if value != spec.fields(new.stage)[field]
    ]


def sliding(filters: Filters) -> list[int]:
    """Return the numbers of the reasons that hang on one limit which `--set` can name."""
    stages = Counter(filters.names)
    limits = Counter((r.decider.index, r.rule.limit) for r in filters.reasons if r.rule)
    return [
        number
        for number, reason in enumerate(filters.reasons)
        if (rule := reason.rule) is not None
        and rule.limit in reason.decider.tunable
        and limits[reason.decider.index, rule.limit] == 1
        and stages[reason.decider.name] == 1
    ]
