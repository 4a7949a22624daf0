"""A pipeline is a tuple of stages whose columns fit together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curator.errors import ColumnError, SpecError
from curator.stage import CHARACTERS, CorpusStage, Filter, Reader, Stage
from millrace import config
from millrace.config import did_you_mean

if TYPE_CHECKING:
    from curator.run.runner import Result


NUMBERS = ("int16", "int32", "int64", "uint32", "uint64", "float32", "float64")


@dataclass(frozen=True)
class Pipeline:
    """Stages in order; the first is a reader. Raises ColumnError where a stage cannot follow."""

    stages: tuple[Stage, ...] = field()

    def __init__(self, stages: Iterable[Stage]):
        object.__setattr__(self, "stages", tuple(stages))
        for stage in self.stages:
            config.check(stage)
        check_columns(self.stages)

    def __or__(self, other: Stage | Pipeline) -> Pipeline:
        return Pipeline(self.stages + (other.stages if isinstance(other, Pipeline) else (other,)))

    def __str__(self) -> str:
        return " | ".join(type(stage).__name__ for stage in self.stages)

    def run(self, output: str, **options: Any) -> Result:
        """Run to a folder; see curator.run.runner.run for the options."""
        from curator.run.runner import run

        return run(self, output, **options)


def check_columns(stages: tuple[Stage, ...]) -> dict[str, str]:
    """Return the columns after the last stage, name -> type name; raise ColumnError where stages do not fit.

    Stages that still wait for their reader (`FixUnicode() | ExactDedup()`) are checked once it is there.
    """
    for position, stage in enumerate(stages[1:], start=1):
        if isinstance(stage, Reader):
            raise ColumnError(f"stage {position} {type(stage).__name__} is a reader; a reader comes first")
    if not stages or not isinstance(stages[0], Reader):
        return {}
    known = dict(stages[0].writes)
    measured: dict[str, str] = {}
    for position, stage in enumerate(stages[1:], start=1):
        for column, kind in stage.reads.items():
            if known.get(column) != kind:
                raise ColumnError(
                    f"stage {position} {type(stage).__name__} reads {column} ({kind}), but the stages before it "
                    f"give {known.get(column, 'no such column')}. "
                    f"Available: {', '.join(f'{c} ({k})' for c, k in known.items())}"
                )
        if isinstance(stage, CorpusStage) and stage.ranked_by:
            _check_ranked(position, stage, known | measured)
        if isinstance(stage, Filter | CorpusStage):
            measured |= stage.stored()
        known |= stage.writes
        for column in stage.drops:
            known.pop(column, None)
    _check_signals(stages)
    _check_published(stages)
    return known


def _check_ranked(position: int, stage: CorpusStage, available: dict[str, str]) -> None:
    """What documents are ranked by is a number column, or a signal that a stage before measured."""
    numbers = sorted(name for name, kind in available.items() if kind in NUMBERS and name != "doc_id")
    if stage.ranked_by not in numbers:
        raise ColumnError(
            f"stage {position} {type(stage).__name__} ranks documents by {stage.ranked_by}, which is neither a column "
            f"of numbers nor a signal measured before it.{did_you_mean(stage.ranked_by, numbers)} "
            f"Available: {', '.join(numbers) or 'none'}"
        )


def grouped(stages: Iterable[tuple[int, Stage]]) -> list[list[tuple[int, Stage]]]:
    """Put consecutive filters in one group as long as none of them reads what one before it writes or
    drops; every other stage stands alone. A group is measured together, on one state of the documents."""
    groups: list[list[tuple[int, Stage]]] = []
    changed: set[str] = set()
    for index, stage in stages:
        together = groups and isinstance(stage, Filter) and isinstance(groups[-1][-1][1], Filter)
        if together and not changed & set(stage.reads):
            groups[-1].append((index, stage))
        else:
            groups.append([(index, stage)])
            changed = set()
        changed |= {*stage.writes, *stage.drops}
    return groups


def _check_signals(stages: tuple[Stage, ...]) -> None:
    """Two stages may give one signal only out of one shared pass over the same state of the documents."""
    owners: dict[str, tuple[Stage, int, int]] = {}
    for number, group in enumerate(grouped(enumerate(stages))):
        for index, stage in ((i, stage) for i, stage in group if isinstance(stage, Filter | CorpusStage)):
            for signal in stage.stored():
                if signal == CHARACTERS:
                    raise ColumnError(f"{type(stage).__name__} measures {signal}, which every run keeps by itself")
                owner, first, where = owners.setdefault(signal, (stage, index, number))
                passes = [getattr(one, "shared_pass", None) for one in (stage, owner)]
                shared = passes[0] is not None and passes[0] == passes[1]
                if first != index and not (shared and where == number):
                    raise ColumnError(
                        f"{type(stage).__name__} measures {signal}, which {type(owner).__name__} measures too; "
                        "filters share a signal only side by side, out of one pass"
                    )


def _check_published(stages: tuple[Stage, ...]) -> None:
    """Two stages cannot write one folder of the run."""
    owners: dict[str, str] = {}
    for stage in (stage for stage in stages if isinstance(stage, CorpusStage)):
        for folder in filter(None, (stage.output, *stage.publishes)):
            if folder in owners:
                raise SpecError(f"{owners[folder]} and {type(stage).__name__} both write {folder}/ of the run; one may")
            owners[folder] = type(stage).__name__
