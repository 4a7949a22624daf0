"""A pipeline is a tuple of stages whose columns fit together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curator.errors import ColumnError
from curator.stage import Filter, Reader, Stage

if TYPE_CHECKING:
    from curator.run.runner import Result


@dataclass(frozen=True)
class Pipeline:
    """Stages in order; the first is a reader. Raises ColumnError where a stage cannot follow."""

    stages: tuple[Stage, ...] = field()

    def __init__(self, stages: Iterable[Stage]):
        object.__setattr__(self, "stages", tuple(stages))
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
    for position, stage in enumerate(stages[1:], start=1):
        for column, kind in stage.reads.items():
            if known.get(column) != kind:
                raise ColumnError(
                    f"stage {position} {type(stage).__name__} reads {column} ({kind}), but the stages before it "
                    f"give {known.get(column, 'no such column')}. "
                    f"Available: {', '.join(f'{c} ({k})' for c, k in known.items())}"
                )
        known |= stage.writes
        for column in stage.drops:
            known.pop(column, None)
    _check_signals(stages)
    return known


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
    """Two filters may give one signal only out of one shared pass over the same state of the documents."""
    owners: dict[str, tuple[Filter, int]] = {}
    for number, group in enumerate(grouped(enumerate(stages))):
        for stage in (stage for _, stage in group if isinstance(stage, Filter)):
            for signal in stage.stored():
                owner, where = owners.setdefault(signal, (stage, number))
                shared = stage.shared_pass is not None and stage.shared_pass == owner.shared_pass
                if owner is not stage and not (shared and where == number):
                    raise ColumnError(
                        f"{type(stage).__name__} measures {signal}, which {type(owner).__name__} measures too; "
                        "filters share a signal only side by side, out of one pass"
                    )
